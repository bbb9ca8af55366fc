package manager

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/netip"
	"strings"
	"time"
)

const (
	caName     = "linux_patch_manager reference CA"
	caLifetime = 10 * 365 * 24 * time.Hour
	// backdate lets a lab host whose clock is behind trust the CA and the
	// HTTPS certificate. Host certificates begin at "now" all the same, as
	// deployed ones do.
	backdate = 24 * time.Hour
)

// authority is the CA.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  *ecdsa.PrivateKey
	rand io.Reader
}

// openCA reads the CA from the data directory, or makes it. The key is written
// first, so that a start that was cut short is made good by the next one.
func (s *Server) openCA() (*authority, error) {
	ca := &authority{rand: s.opt.Rand}
	keyPath, certPath := s.path(fileCAKey), s.path(fileCA)
	certPEM, certErr := s.fs.ReadFile(certPath)
	if certErr != nil && !errors.Is(certErr, fs.ErrNotExist) {
		return nil, certErr
	}
	key, err := s.readKey(keyPath)
	switch {
	case errors.Is(err, fs.ErrNotExist) && certErr != nil:
		if key, err = s.newKeyFile(keyPath); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	}
	ca.key = key
	if certErr != nil {
		if certPEM, err = ca.selfSign(s.opt.Now()); err != nil {
			return nil, fmt.Errorf("make the CA: %w", err)
		}
		if err := s.writeFile(certPath, certPEM, 0o644); err != nil {
			return nil, err
		}
	}
	ca.pem = certPEM
	if ca.cert, err = parseCert(certPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", certPath, err)
	}
	if !key.PublicKey.Equal(ca.cert.PublicKey) {
		return nil, fmt.Errorf("%s does not fit %s", keyPath, certPath)
	}
	return ca, nil
}

func (ca *authority) selfSign(now time.Time) ([]byte, error) {
	serial, err := ca.newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: caName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(ca.rand, t, t, &ca.key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	return pemOf("CERTIFICATE", der), nil
}

// newSerial is 127 random bits, which is positive and within the 20 octets of
// RFC 5280 section 4.1.2.2.
func (ca *authority) newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := io.ReadFull(ca.rand, b[:]); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b[:]), nil
}

// issue signs a certificate for pub from what t says of name, time and use,
// and returns it with its record.
func (ca *authority) issue(t *x509.Certificate, pub *ecdsa.PublicKey) ([]byte, Certificate, error) {
	serial, err := ca.newSerial()
	if err != nil {
		return nil, Certificate{}, err
	}
	t.SerialNumber = serial
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.BasicConstraintsValid = true
	if t.NotAfter.After(ca.cert.NotAfter) {
		t.NotAfter = ca.cert.NotAfter
	}
	if !t.NotBefore.Before(t.NotAfter) {
		return nil, Certificate{}, errors.New("the CA has expired")
	}
	der, err := x509.CreateCertificate(ca.rand, t, ca.cert, pub, ca.key)
	if err != nil {
		return nil, Certificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	usage := "serverAuth"
	if len(t.ExtKeyUsage) == 1 && t.ExtKeyUsage[0] == x509.ExtKeyUsageClientAuth {
		usage = "clientAuth"
	}
	return pemOf("CERTIFICATE", der), Certificate{
		Serial: serialText(serial), CN: t.Subject.CommonName, Usage: usage,
		IssuedAt: t.NotBefore, NotAfter: t.NotAfter,
	}, nil
}

// validity is from when to when a certificate is valid.
type validity struct{ from, until time.Time }

// hostTemplate is what a host's certificate says, as the contract has it.
func hostTemplate(fqdn string, ip netip.Addr, life validity, legacy bool) *x509.Certificate {
	t := clientTemplate(fqdn+"-server", life)
	if !legacy {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		t.DNSNames, t.IPAddresses = []string{fqdn}, ipSAN(ip)
	}
	return t
}

// clientTemplate is that of a certificate to call hosts with.
func clientTemplate(cn string, life validity) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: cn}, NotBefore: life.from, NotAfter: life.until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// issueHost makes a key and its certificate for a host. That of the client
// certificate, by which a host calls others, an approval discards; only a
// re-issue hands it out.
func (ca *authority) issueHost(t *x509.Certificate) (crt, key []byte, rec Certificate, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), ca.rand)
	if err != nil {
		return nil, nil, rec, fmt.Errorf("make the key of %s: %w", t.Subject.CommonName, err)
	}
	if key, err = keyPEM(k); err != nil {
		return nil, nil, rec, err
	}
	crt, rec, err = ca.issue(t, &k.PublicKey)
	return crt, key, rec, err
}

func (ca *authority) signCRL(number uint64, now time.Time, revoked []Revocation) ([]byte, error) {
	t := &x509.RevocationList{
		Number:     new(big.Int).SetUint64(number),
		ThisUpdate: now,
		NextUpdate: now.Add(crlLifetime),
	}
	for _, r := range revoked {
		serial, ok := new(big.Int).SetString(r.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("revoked serial %q is not hexadecimal", r.Serial)
		}
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: r.At})
	}
	der, err := x509.CreateRevocationList(ca.rand, t, ca.cert, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign CRL: %w", err)
	}
	return pemOf("X509 CRL", der), nil
}

func (s *Server) newKeyFile(path string) (*ecdsa.PrivateKey, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), s.opt.Rand)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	raw, err := keyPEM(k)
	if err != nil {
		return nil, err
	}
	return k, s.writeFile(path, raw, 0o600)
}

func (s *Server) readKey(path string) (*ecdsa.PrivateKey, error) {
	raw, err := secretFile(s.fs, path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no private key: restore it from a backup", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an ECDSA key", path)
	}
	return k, nil
}

func keyPEM(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pemOf("PRIVATE KEY", der), nil
}

func parseCert(raw []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("not one PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serialText(n *big.Int) string { return strings.ToLower(n.Text(16)) }

// fingerprint is the SHA-256 of a certificate's DER, in hex.
func fingerprint(c *x509.Certificate) string { return hashOf(string(c.Raw)) }
