package managerclient

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// RequestError is any failure of Register or Poll. errors.As finds the
// *contract.Error in it.
type RequestError struct {
	// MaybeDelivered says that the manager may have acted on the request, so
	// that it may hold a request, or have handed out a bundle, that this host
	// knows nothing of. It is true from the moment that a connection stood
	// until an answer came that rules it out. These do not: a 5xx other than
	// 500 (a gateway may have passed the request on), an answer that was cut
	// off, an acceptance without a usable token. One such attempt marks the
	// whole call.
	MaybeDelivered bool
	// HTTPStatus is that of the last attempt's answer, 0 without one.
	HTTPStatus int
	// RetryAfter is what that answer asks to wait.
	RetryAfter time.Duration
	Err        *contract.Error
}

func (e *RequestError) Error() string { return e.Err.Error() }

func (e *RequestError) Unwrap() error { return e.Err }

var errNotLoopback = errors.New("http is for this machine only, and the name leads to another")

func (f *flight) fail(err *contract.Error) *RequestError {
	return &RequestError{
		MaybeDelivered: f.mayHaveActed,
		HTTPStatus:     f.status,
		RetryAfter:     f.retryAfter,
		Err:            err,
	}
}

// failed explains why no answer came.
func (f *flight) failed(ctx context.Context, err error) *RequestError {
	if ended := f.ended(ctx); ended != nil {
		return f.fail(ended)
	}
	// url.Error's text holds the URL and with it the token.
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if !f.delivered {
		if e := f.untrusted(err); e != nil {
			return f.fail(e)
		}
	} else if e := handshakeRefused(err); e != nil {
		return f.fail(e)
	}
	why := reason(err)
	if why == "" && f.delivered {
		// What is left are net/http's complaints about the answer, and they
		// quote it.
		return f.fail(contract.Errorf(contract.CodeBadAnswer, "%s does not answer in HTTP, or with headers that are too long", f.client.base))
	}
	if why == "" {
		why = f.scrub(err.Error())
	}
	through := ""
	if f.client.proxy != nil {
		through = " through the proxy " + f.client.proxy.Host
	}
	return f.fail(contract.Errorf(contract.CodeUnreachable, "cannot reach the manager at %s%s: %s", f.client.base, through, why))
}

// cutOff explains why an answer that began did not come whole.
func (f *flight) cutOff(ctx context.Context, err error) *RequestError {
	if ended := f.ended(ctx); ended != nil {
		return f.fail(ended)
	}
	why := reason(err)
	if why == "" {
		return f.fail(contract.Errorf(contract.CodeBadAnswer, "the answer (HTTP %d) of %s is malformed", f.status, f.client.base))
	}
	return f.fail(contract.Errorf(contract.CodeUnreachable, "the answer (HTTP %d) of %s was cut off: %s", f.status, f.client.base, why))
}

// ended explains a failure by the caller's context, which is then wrapped, so
// that the caller can tell its own deadline.
func (f *flight) ended(ctx context.Context) *contract.Error {
	switch err := ctx.Err(); {
	case errors.Is(err, context.Canceled):
		return contract.Errorf(contract.CodeInterrupted, "interrupted while talking to %s: %w", f.client.base, err)
	case err != nil:
		return contract.Errorf(contract.CodeTimeout, "no answer from %s in time: %w", f.client.base, err)
	}
	return nil
}

// isHopeless says whether trying again soon can't help.
func isHopeless(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) || errors.Is(err, http.ErrSchemeMismatch) ||
		errors.Is(err, errNotLoopback) || handshakeRefused(err) != nil
}

// reason says in words what kind of network failure err is, "" if it is none.
// It builds on types: texts of net and net/http quote what came from outside.
func reason(err error) string {
	prefix := ""
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		prefix = "no connection to the proxy: "
	}
	var dns *net.DNSError
	var errno syscall.Errno
	var refused proxyError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return prefix + "no such host " + printable(dns.Name)
	case errors.As(err, &dns) && dns.IsTimeout:
		return prefix + "no answer from DNS for " + printable(dns.Name)
	case errors.As(err, &dns):
		return prefix + "DNS fails for " + printable(dns.Name)
	case errors.As(err, &errno):
		return prefix + errno.Error()
	case errors.Is(err, errNotLoopback):
		return errNotLoopback.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return prefix + "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return prefix + "the connection was closed"
	case errors.As(err, &refused):
		return prefix + printable(refused.err.Error())
	}
	return ""
}

// untrusted explains a failed handshake with the manager, nil if err is
// something else.
func (f *flight) untrusted(err error) *contract.Error {
	if errors.As(err, new(proxyError)) {
		return nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return nil
	}
	at := f.client.base
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return f.distrust(cert)
	}
	if errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, new(tls.RecordHeaderError)) {
		return contract.Errorf(contract.CodeTLSUntrusted, "%s does not speak TLS: it answers https with something else, such as plain HTTP", at).
			WithHint("check the port in manager_url: it must be the manager's HTTPS port")
	}
	return handshakeRefused(err)
}

// handshakeRefused explains a TLS alert. With TLS 1.3 one for a missing client
// certificate arrives after the handshake.
func handshakeRefused(err error) *contract.Error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return nil
	}
	return contract.Errorf(contract.CodeTLSUntrusted, "the manager refuses the TLS handshake: %s", printable(op.Err.Error())).
		WithHint("check that manager_url is the manager's HTTPS port, that it speaks TLS 1.2 or newer, and that it asks for no client certificate there")
}

// distrust explains why a certificate is not trusted, and says what to compare
// with what the manager's administrators tell over a different channel.
func (f *flight) distrust(e *tls.CertificateVerificationError) *contract.Error {
	why := contract.Errorf(contract.CodeTLSUntrusted, "the certificate that %s presents %s; %s",
		f.client.base, f.whyUntrusted(e), presented(e.UnverifiedCertificates))
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](e.Err); ok && invalid.Reason == x509.Expired {
		// Another CA would not help.
		return why.WithHint("fix this host's clock if it is wrong; if it is right, the manager needs another %s", whichOf(invalid.Cert, e.UnverifiedCertificates[0]))
	}
	if errors.As(e.Err, new(x509.UnknownAuthorityError)) && f.client.caSource != "" {
		return why.WithHint("compare the fingerprints with the manager's own over a different channel; the CA that %s gives did not issue this certificate", f.client.caSource)
	}
	return why
}

// presented names the certificates by fingerprints in openssl's spelling
// (openssl x509 -fingerprint -sha256), each said what it is of.
func presented(certs []*x509.Certificate) string {
	text := "SHA-256 fingerprint of the manager's own certificate (leaf): " + Fingerprint(certs[0])
	ca := certs[len(certs)-1]
	switch {
	case len(certs) > 1 && ca.IsCA:
		return text + ", of the CA that it presents (" + printable(ca.Subject.String()) + "): " + Fingerprint(ca)
	case ca.IsCA:
		return text + ", which is a CA itself"
	}
	return text + "; it presents no CA certificate (issuer: " + printable(certs[0].Issuer.String()) + ")"
}

// Fingerprint is the SHA-256 fingerprint of c as openssl writes it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// whichOf names c by its part in a chain under leaf.
func whichOf(c, leaf *x509.Certificate) string {
	switch {
	case c.Equal(leaf):
		return "HTTPS certificate"
	case c.IsCA:
		return "CA certificate (" + printable(c.Subject.String()) + ")"
	}
	return "certificate"
}

func (f *flight) whyUntrusted(e *tls.CertificateVerificationError) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	leaf := e.UnverifiedCertificates[0]
	switch {
	case errors.Is(e.Err, errPinMismatch):
		return "is not the one that manager_ca_fingerprint names, nor is a CA of that fingerprint presented"
	case errors.As(e.Err, new(x509.UnknownAuthorityError)):
		return "is issued by an authority that is not trusted (" + printable(leaf.Issuer.String()) + ")" + f.givenCA()
	case errors.As(e.Err, &name):
		return "is not valid for this host name, but for " + namesOf(name.Certificate)
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		return f.whyExpired(invalid.Cert, leaf)
	}
	return "does not verify (" + printable(e.Err.Error()) + ")"
}

// givenCA names the option that stands in place of the system's roots.
func (f *flight) givenCA() string {
	if f.client.caSource == "" {
		return ""
	}
	return ", and not by the CA that " + f.client.caSource + " gives"
}

// whyExpired tells the leaf's end from that of a CA above it.
func (f *flight) whyExpired(c, leaf *x509.Certificate) string {
	now, whose := f.client.now(), ""
	if !c.Equal(leaf) {
		whose = "is issued under a CA (" + printable(c.Subject.String()) + ", SHA-256 fingerprint " + Fingerprint(c) + ") that "
	}
	if now.Before(c.NotBefore) {
		return fmt.Sprintf("%sis not valid before %s, and this host's clock says %s", whose, stamp(c.NotBefore), stamp(now))
	}
	return fmt.Sprintf("%sexpired at %s, and this host's clock says %s", whose, stamp(c.NotAfter), stamp(now))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func namesOf(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "none at all (it has no subject alternative name)"
	}
	return printable(strings.Join(names, " "))
}

// scrub takes the token and the proxy's credentials out of a text.
func (f *flight) scrub(s string) string {
	secrets := f.secrets
	if p := f.client.proxy; p != nil && p.User != nil {
		password, _ := p.User.Password()
		secrets = append(secrets, p.User.String(), password)
	}
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[hidden]")
		}
	}
	return printable(s)
}
