package managerclient

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
)

// pin is a certificate known by its SHA-256 fingerprint.
type pin struct {
	fingerprint string
	host        string
	now         func() time.Time
	// known holds certificates from CAPEM: a manager rarely presents its root.
	known []*x509.Certificate
}

var errPinMismatch = errors.New("no presented certificate has the pinned fingerprint")

// tlsConfigFor turns the trust options into a TLS configuration.
func tlsConfigFor(o Options) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.URL.Hostname(), Time: o.Now}
	var known []*x509.Certificate
	if len(o.CAPEM) > 0 {
		var err error
		if known, err = parseCertificates(o.CAPEM, cmp.Or(o.CASource, "the manager's CA"), o.Warn); err != nil {
			return nil, err
		}
		cfg.RootCAs = poolOf(known...)
	}
	if o.Fingerprint != "" {
		pinned, err := pki.NormalizeFingerprint(o.Fingerprint)
		if err != nil {
			return nil, contract.Errorf(contract.CodeInvalidArgument,
				"manager_ca_fingerprint is not a SHA-256 fingerprint: 64 hexadecimal digits are needed")
		}
		cfg.VerifyConnection = pin{pinned, cfg.ServerName, o.Now, known}.verify
	}
	cfg.VerifyConnection = telling(cfg.VerifyConnection, o.Seen)
	// A pin alone stands in place of the system's roots, so that crypto/tls
	// must not judge by them; pin.verify does all of it. Otherwise only the
	// explicit option switches verification off.
	cfg.InsecureSkipVerify = o.Insecure || (o.Fingerprint != "" && len(o.CAPEM) == 0)
	return cfg, nil
}

// telling tells seen what verify, if anything, has accepted.
func telling(verify func(tls.ConnectionState) error, seen func(string)) func(tls.ConnectionState) error {
	if seen == nil {
		return verify
	}
	return func(cs tls.ConnectionState) error {
		if verify != nil {
			if err := verify(cs); err != nil {
				return err
			}
		}
		seen(fingerprintOf(cs.PeerCertificates[0]))
		return nil
	}
}

// verify holds a connection to the pin. The presented leaf itself may be
// pinned: the handshake has proved that the peer holds its key, so its name
// and issuer do not matter, but its validity does. Or a CA is pinned, which is
// then the sole root of a normal verification, with host name: that a
// certificate stands in the presented list proves nothing, since anyone can
// present it.
func (p pin) verify(cs tls.ConnectionState) error {
	leaf, rest := cs.PeerCertificates[0], cs.PeerCertificates[1:]
	fail := func(err error) error {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	if fingerprintOf(leaf) == p.fingerprint {
		if now := p.now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			return fail(x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired})
		}
		return nil
	}
	var root *x509.Certificate
	for _, list := range [][]*x509.Certificate{rest, p.known} {
		for _, c := range list {
			if fingerprintOf(c) == p.fingerprint {
				root = c
			}
		}
	}
	if root == nil || !root.BasicConstraintsValid || !root.IsCA {
		return fail(errPinMismatch)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         poolOf(root),
		Intermediates: poolOf(rest...),
		DNSName:       p.host,
		CurrentTime:   p.now(),
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// parseCertificates reads a file of CAs. One with a negative serial number, which
// OpenSSL takes and crypto/x509 does not, is skipped, and told to warn: it spoils
// none of the others. Without any that is usable nothing is trusted.
func parseCertificates(data []byte, source string, warn func(string)) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	var skipped error
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, contract.Errorf(contract.CodeInvalidArgument, "%s holds a PEM block that is not a certificate", source)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			certs = append(certs, c)
			continue
		}
		skipped = contract.Errorf(contract.CodeInvalidArgument, "certificate %d of %s cannot be read: %w", n, source, err)
		if !strings.Contains(err.Error(), "negative serial") {
			return nil, skipped
		}
		if warn != nil {
			warn(skipped.Error() + "; it is skipped")
		}
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case skipped != nil:
		return nil, skipped
	}
	return nil, contract.Errorf(contract.CodeInvalidArgument, "%s holds no PEM certificate", source)
}

func poolOf(certs ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

func fingerprintOf(c *x509.Certificate) string { return pki.Fingerprint(c.Raw) }
