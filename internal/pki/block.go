package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

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
)

// strictness is how much beside the PEM blocks is accepted.
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
// broken block is an error, and in strict mode so is any text.
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
		if len(rest) == 0 || how == lenient && countBegin(rest) == 0 {
			break
		}
		if how == strict && !bytes.HasPrefix(rest, []byte(pemBegin)) {
			return nil, fmt.Errorf("%s: %w: something that is not PEM", name, ErrMalformed)
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

// parseCerts reads one to maxCerts certificates.
func parseCerts(name string, data []byte, how strictness, maxCerts int) ([]*x509.Certificate, error) {
	blocks, err := splitPEM(name, data, how, maxCertsBytes, maxCerts)
	if err != nil {
		return nil, err
	}
	certs := make([]*x509.Certificate, len(blocks))
	for i, b := range blocks {
		// The type of a foreign block is not repeated: it is untrusted text.
		if b.Type != typeCert || len(b.Headers) != 0 {
			return nil, fmt.Errorf("%s: %w: PEM block %d is not a plain %s", name, ErrMalformed, i+1, typeCert)
		}
		if len(b.Bytes) > maxOneCert {
			return nil, fmt.Errorf("%s: %w: certificate %d is larger than %d bytes", name, ErrMalformed, i+1, maxOneCert)
		}
		if certs[i], err = x509.ParseCertificate(b.Bytes); err != nil {
			return nil, fmt.Errorf("%s: %w: certificate %d can't be read: %s", name, ErrMalformed, i+1, plaintext.Line(err.Error(), maxText))
		}
	}
	return certs, nil
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
