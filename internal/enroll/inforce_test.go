package enroll_test

import (
	"context"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
)

// TestAReportGoesByTheListInForce: an agent's report does not read the CRL that
// it has in memory, and says what that list says of the host's own certificate.
func TestAReportGoesByTheListInForce(t *testing.T) {
	r := newRig(t)
	for range 2 {
		if res := r.run(nil, nil); res.Failed {
			t.Fatalf("got %s, want the host enrolled", res.Msg)
		}
	}
	const path = "/etc/linux_patch_api/certs/crl.pem"
	r.write(path, r.manager.ca.CRL(t), 0o644)
	set, err := pki.ParseFiles([]byte(r.read("/etc/linux_patch_api/certs/ca.pem")), []byte(r.read("/etc/linux_patch_api/certs/server.pem")),
		[]byte(r.read("/etc/linux_patch_api/certs/server.key.pem")), nil)
	must(t, err)
	for _, test := range []struct {
		name, list  string
		reads, good bool
	}{
		{"none in memory", "", true, true},
		{"one that lists others", r.manager.ca.CRL(t), false, true},
		{"one that lists the certificate", r.manager.ca.CRL(t, set.Server), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			reads := false
			e := r.enroller(&faultfs.Fs{Match: func(o faultfs.Op) bool {
				reads = reads || strings.HasPrefix(o.Name, "open") && strings.HasSuffix(o.Path, path)
				return false
			}})
			e.InForce = func([]byte) *pki.CRL {
				list, err := pki.ReadCRL("CRL", strings.NewReader(test.list))
				if err != nil {
					return nil
				}
				list.Forget()
				return list
			}
			info := e.Info(context.Background(), options.DefaultInfoParams())
			if info.Failed || info.Valid != test.good || info.RenewalDue == test.good {
				t.Errorf("got failed %t, valid %t, renewal due %t, %q; want valid %t", info.Failed, info.Valid, info.RenewalDue, info.Problems, test.good)
			}
			if reads != test.reads {
				t.Errorf("got the CRL file read: %t, want %t", reads, test.reads)
			}
		})
	}
}
