package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/linux-patch/enroll/internal/plaintext"
)

// The PEM types, RFC 7468 and OpenSSL's older names for keys.
const (
	typeCert      = "CERTIFICATE"
	typeCRL       = "X509 CRL"
	typeKey       = "PRIVATE KEY"
	typeECKey     = "EC PRIVATE KEY"
	typeRSAKey    = "RSA PRIVATE KEY"
	typeEncrypted = "ENCRYPTED PRIVATE KEY"
	typeECParams  = "EC PARAMETERS"
	typeTrusted   = "TRUSTED CERTIFICATE"
	typeOldCert   = "X509 CERTIFICATE"
)

// strictness is whether blocks of other types are refused or, as OpenSSL does
// with files, skipped. Text outside the blocks is skipped in both (RFC 7468,
// section 2): only what was understood is written.
type strictness bool

const (
	strict  strictness = false
	lenient strictness = true
)

// limit gives files more room than a bundle's fields: the server's file is
// made of two of those, and encoding anew can make PEM longer.
func (how strictness) limit(bundle int) int {
	if how == lenient {
		return 4 * bundle
	}
	return bundle
}

const pemBegin = "-----BEGIN "

// splitPEM returns the blocks of data, at most maxBlocks of them. encoding/pem skips
// what it can't read, in front of a block and broken blocks alike; here a
// broken block is an error.
func splitPEM(name string, data []byte, how strictness, maxBytes, maxBlocks int) ([]*pem.Block, error) {
	if limit := how.limit(maxBytes); len(data) > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are accepted", name, ErrMalformed, len(data), limit)
	}
	if blank(data) {
		return nil, fmt.Errorf("%s: %w: empty", name, ErrMalformed)
	}
	var blocks []*pem.Block
	for rest := data; ; {
		rest = bytes.TrimSpace(rest)
		if countBegin(rest) == 0 {
			break
		}
		if len(blocks) == maxBlocks {
			return nil, fmt.Errorf("%s: %w: more than %d PEM blocks", name, ErrMalformed, maxBlocks)
		}
		block, after := pem.Decode(rest)
		if block == nil || countBegin(rest[:len(rest)-len(after)]) != 1 {
			return nil, fmt.Errorf("%s: %w: PEM block %d is broken or cut off", name, ErrMalformed, len(blocks)+1)
		}
		blocks = append(blocks, block)
		rest = after
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%s: %w: no PEM block", name, ErrMalformed)
	}
	return blocks, nil
}

// countBegin counts the lines that begin a block.
func countBegin(data []byte) int {
	n := bytes.Count(data, []byte("\n"+pemBegin))
	if bytes.HasPrefix(data, []byte(pemBegin)) {
		n++
	}
	return n
}

// parseCerts reads one to maxCerts certificates. One with a negative serial
// number (RFC 5280, 4.1.2.2) can't be used by Go's TLS; it is skipped, and told
// in skipped, unless it is the first of a server's file.
func parseCerts(name string, data []byte, how strictness, maxCerts int) (certs []*x509.Certificate, skipped []string, err error) {
	blocks, err := splitPEM(name, data, how, maxCertsBytes, maxCerts)
	if err != nil {
		return nil, nil, err
	}
	for i, b := range blocks {
		ok, err := isCert(name, i, b, how)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			continue
		}
		c, err := x509.ParseCertificate(certDER(b))
		switch {
		case err != nil && strings.Contains(err.Error(), "negative serial"):
			skipped = append(skipped, fmt.Sprintf("%s: certificate %d has a negative serial number", name, i+1))
			if len(certs) == 0 {
				certs = append(certs, nil)
			}
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w: certificate %d can't be read: %s", name, ErrMalformed, i+1, plaintext.Line(err.Error(), maxText))
		default:
			certs = append(certs, c)
		}
	}
	if len(certs) == 0 {
		return nil, nil, fmt.Errorf("%s: %w: no %s", name, ErrMalformed, typeCert)
	}
	return certs, skipped, nil
}

// isCert reports whether a block is a certificate; in a bundle it has to be.
func isCert(name string, i int, b *pem.Block, how strictness) (bool, error) {
	ok := b.Type == typeCert || how == lenient && (b.Type == typeTrusted || b.Type == typeOldCert)
	switch {
	// The type of a foreign block is not repeated: it is untrusted text.
	case how == strict && (!ok || len(b.Headers) != 0):
		return false, fmt.Errorf("%s: %w: PEM block %d is not a plain %s", name, ErrMalformed, i+1, typeCert)
	case ok && len(b.Bytes) > maxOneCert:
		return false, fmt.Errorf("%s: %w: certificate %d is larger than %d bytes", name, ErrMalformed, i+1, maxOneCert)
	}
	return ok, nil
}

// certDER cuts off what OpenSSL's trusted certificates have behind it.
func certDER(b *pem.Block) []byte {
	var whole asn1.RawValue
	if b.Type != typeTrusted {
		return b.Bytes
	}
	if _, err := asn1.Unmarshal(b.Bytes, &whole); err != nil {
		return b.Bytes
	}
	return whole.FullBytes
}

func certsPEM(certs ...*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certs {
		// Writing to a Buffer can't fail, and there are no headers to refuse.
		_ = pem.Encode(&out, &pem.Block{Type: typeCert, Bytes: c.Raw})
	}
	return out.Bytes()
}

func blank(data []byte) bool { return len(bytes.TrimSpace(data)) == 0 }
