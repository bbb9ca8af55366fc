package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// RSA keys: below, factoring comes into reach; above, Go's TLS refuses the
// peer, and checking signatures gets slow.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// errNotKey stands for whatever is wrong inside a key. Parsers' own words are
// kept out of messages: they might quote what they read.
var errNotKey = errors.New("no private key of a known kind (PKCS#8, SEC1 or PKCS#1 with ECDSA, Ed25519 or RSA) can be read")

// parseKeyFor reads a private key, holds it against cert and returns it as
// canonical PKCS#8 PEM.
func parseKeyFor(cert *x509.Certificate, n names, data []byte, how strictness) ([]byte, error) {
	block, err := keyBlock(n.key, data, how)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(block)
	// A key of a kind that is not accepted can't be read or fitted; the
	// certificate tells why.
	if weak := checkKey(cert); weak != nil && (err != nil || !fits(key, cert)) {
		return nil, fmt.Errorf("%s: %w", n.server, weak)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", n.key, ErrMalformed, err)
	}
	if !fits(key, cert) {
		return nil, fmt.Errorf("%s: %w in %s", n.key, ErrKeyMismatch, n.server)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: it can't be encoded", n.key, ErrMalformed)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der}), nil
}

// keyBlock finds the one key block.
func keyBlock(name string, data []byte, how strictness) (*pem.Block, error) {
	most := 2
	if how == lenient {
		most = maxFileRoots
	}
	blocks, err := splitPEM(name, data, how, maxKeyBytes, most)
	if err != nil {
		return nil, err
	}
	// `openssl ecparam -genkey` writes the curve in front of the key; OpenSSL
	// takes the first key of a file.
	if len(blocks) == 2 && blocks[0].Type == typeECParams {
		blocks = blocks[1:]
	}
	if how == lenient {
		if first := slices.IndexFunc(blocks, func(b *pem.Block) bool { return strings.HasSuffix(b.Type, typeKey) }); first >= 0 {
			blocks = blocks[first : first+1]
		}
	}
	if len(blocks) != 1 {
		return nil, fmt.Errorf("%s: %w: more than one PEM block", name, ErrMalformed)
	}
	b := blocks[0]
	// RFC 1421 headers mark OpenSSL's older encryption.
	if _, old := b.Headers["DEK-Info"]; old || b.Type == typeEncrypted {
		return nil, fmt.Errorf("%s: %w: the private key is encrypted with a passphrase; the agent needs one without", name, ErrMalformed)
	}
	if len(b.Headers) != 0 {
		return nil, fmt.Errorf("%s: %w: the PEM block has headers", name, ErrMalformed)
	}
	return b, nil
}

func parseKey(b *pem.Block) (crypto.Signer, error) {
	// Go's PKCS#8 and SEC1 parsers overlook what follows the key.
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(b.Bytes, &whole); err != nil || len(rest) != 0 {
		return nil, errNotKey
	}
	var key any
	var err error
	switch b.Type {
	case typeKey:
		if !boundedPKCS8(b.Bytes) {
			return nil, errNotKey
		}
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case typeECKey:
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case typeRSAKey:
		if !boundedRSA(b.Bytes) {
			return nil, errNotKey
		}
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	default:
		return nil, errNotKey
	}
	if err != nil {
		return nil, errNotKey
	}
	switch key.(type) {
	case *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey:
		return key.(crypto.Signer), nil
	default: // X25519 can't sign.
		return nil, errNotKey
	}
}

// boundedPKCS8 is boundedRSA for what PKCS#8 (RFC 5208, 5) wraps; other kinds
// of key have a fixed size.
func boundedPKCS8(der []byte) bool {
	var outer struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return false
	}
	rsaEncryption := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	return !outer.Algorithm.Algorithm.Equal(rsaEncryption) || boundedRSA(outer.Key)
}

// boundedRSA looks at the sizes in a PKCS#1 key (RFC 8017, A.1.2) before Go
// computes with them: at twice the size that is accepted here it takes ten
// seconds. Keys of more than two primes, version 1, are refused.
func boundedRSA(der []byte) bool {
	var k struct {
		Version       int
		N, E, D, P, Q *big.Int
	}
	if _, err := asn1.Unmarshal(der, &k); err != nil || k.Version != 0 {
		return false
	}
	const maxPrimeBits = maxRSABits/2 + 64
	return k.N.BitLen() <= maxRSABits && k.D.BitLen() <= maxRSABits &&
		k.P.BitLen() <= maxPrimeBits && k.Q.BitLen() <= maxPrimeBits
}

func fits(key crypto.Signer, cert *x509.Certificate) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(cert.PublicKey)
}

// checkKey refuses public keys that TLS 1.3 can't use (RFC 8446, 4.2.3) or
// that are too small.
func checkKey(c *x509.Certificate) error {
	switch pub := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("%w: an RSA key of %d bits, accepted are %d to %d", ErrWeak, bits, minRSABits, maxRSABits)
		}
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fmt.Errorf("%w: an ECDSA key on %s, which TLS 1.3 does not know", ErrWeak, pub.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("%w: a public key that is not ECDSA, Ed25519 or RSA", ErrWeak)
	}
	return nil
}

// checkSignatureAlgorithm lets through what rests on SHA-2 or Ed25519.
func checkSignatureAlgorithm(a x509.SignatureAlgorithm) error {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
		x509.PureEd25519:
		return nil
	case x509.UnknownSignatureAlgorithm:
		return fmt.Errorf("%w: signed with an unknown algorithm", ErrWeak)
	default:
		return fmt.Errorf("%w: signed with %s", ErrWeak, a)
	}
}

// Fingerprint returns the SHA-256 of der in lower-case hex.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
