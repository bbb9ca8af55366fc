package converse

import (
	"errors"

	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

var (
	// ErrFetched says that someone else has fetched the bundle for this host.
	ErrFetched = errors.New("the certificate set on disk is that of the request")
	// ErrNeverOurs says that a token was never that of a request of this host.
	ErrNeverOurs = errors.New("the token was never this host's")
)

// fetched reports whether the certificates on disk are those of the request t:
// an agent of the deployed kind, which shares the token by config.yaml, may have
// fetched them. A manager then no longer knows the token.
func (c *Conversation) fetched(t *statedir.Token) (bool, error) {
	if err := c.ObserveSet(); err != nil {
		return false, err
	}
	set := c.Disk.Set
	if set == nil || c.Disk.Unusable != nil || !set.Server.NotBefore.After(t.Since.Add(-pki.ClockTolerance)) {
		return false, nil //nolint:nilerr // a set that cannot serve was not fetched
	}
	if c.Disk.Provenance().Owns(c.ServerCert, statedir.Digest(c.Disk.Cert.Content)) {
		return false, nil // that of an earlier request
	}
	known := c.Disk.Provenance().CAFingerprint
	if known != "" && known != pki.Fingerprint(set.CA.Raw) && !c.AllowCAChange {
		return false, nil
	}
	_, err := set.Verify(pki.VerifyOptions{Now: c.Now(), CAFingerprint: c.BundleCAFingerprint})
	return err == nil, nil
}
