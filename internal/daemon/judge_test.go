package daemon

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// TestWhoseCertificateIsNoClients: the CA has issued it, and that is not enough.
func TestWhoseCertificateIsNoClients(t *testing.T) {
	ca, now := pkitest.NewCA(t), time.Now()
	client := pkitest.EKU(x509.ExtKeyUsageClientAuth)
	between := ca.Intermediate(t)
	s := &served{roots: ca.Pool()}
	for _, c := range []struct {
		name string
		peer []*x509.Certificate
		let  bool
	}{
		{"a client's", []*x509.Certificate{ca.Issue(t, client).Cert}, true},
		{"a client's, by an intermediate", []*x509.Certificate{between.Issue(t, client).Cert, between.Cert}, true},
		{"none", nil, false},
		{"a server's", []*x509.Certificate{ca.Issue(t, pkitest.EKU(x509.ExtKeyUsageServerAuth)).Cert}, false},
		{"expired", []*x509.Certificate{ca.Issue(t, client, pkitest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour))).Cert}, false},
		{"not valid yet", []*x509.Certificate{ca.Issue(t, client, pkitest.Valid(now.Add(time.Hour), now.Add(2*time.Hour))).Cert}, false},
		{"another CA's", []*x509.Certificate{pkitest.NewCA(t).Issue(t, client).Cert}, false},
		{"an intermediate's that is not shown", []*x509.Certificate{between.Issue(t, client).Cert}, false},
	} {
		if err := s.judge(c.peer, now); (err == nil) != c.let {
			t.Errorf("%s: got %v, want %v", c.name, err, c.let)
		}
	}
}
