package manager

import (
	"cmp"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

const (
	crlLifetime = 24 * time.Hour
	// crlRefresh keeps the published CRL well inside its lifetime.
	crlRefresh = 12 * time.Hour
)

// Hosts lists the approved hosts by FQDN.
func (s *Server) Hosts() ([]Host, error) {
	list, err := all[Host](s.store, bHosts)
	slices.SortFunc(list, func(a, b Host) int { return strings.Compare(a.FQDN, b.FQDN) })
	return list, err
}

// RemoveHost forgets a host with its groups and certificates, revokes those and
// takes back a bundle that was not fetched yet. The host can then be approved
// anew.
func (s *Server) RemoveHost(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.store.db.Update(func(tx *bbolt.Tx) error {
		var h Host
		if err := require(tx, bHosts, id, &h); err != nil {
			return err
		}
		if err := s.revokeOf(tx, h); err != nil {
			return err
		}
		if err := dropCertificates(tx, h); err != nil {
			return err
		}
		return dropHost(tx, h)
	})
	if err != nil {
		return fmt.Errorf("remove host %s: %w", id, err)
	}
	s.takeBack(id)
	s.log.WithField("id", id).Info("host removed")
	return s.publishCRL()
}

// Revoke puts a certificate on the CRL. Doing it twice changes nothing.
func (s *Server) Revoke(serial string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.store.db.Update(func(tx *bbolt.Tx) error { return s.revokeIn(tx, serial) }); err != nil {
		return fmt.Errorf("revoke %s: %w", serial, err)
	}
	s.log.WithField("serial", serial).Info("certificate revoked")
	return s.publishCRL()
}

func (s *Server) revokeIn(tx *bbolt.Tx, serial string) error {
	if tx.Bucket(bIssued).Get([]byte(serial)) == nil {
		return ErrNotFound
	}
	if tx.Bucket(bRevoked).Get([]byte(serial)) != nil {
		return nil
	}
	return put(tx, bRevoked, serial, Revocation{Serial: serial, At: s.opt.Now().UTC()})
}

// revokeOf revokes the certificates that a host has now; one whose issuing
// failed has none.
func (s *Server) revokeOf(tx *bbolt.Tx, h Host) error {
	for _, serial := range []string{h.Serial, h.ClientSerial} {
		if serial == "" {
			continue
		}
		if err := s.revokeIn(tx, serial); err != nil {
			return err
		}
	}
	return nil
}

// dropCertificates deletes the records of a host's certificates. What was
// revoked stays on the CRL.
func dropCertificates(tx *bbolt.Tx, h Host) error {
	issued, err := rows[Certificate](tx, bIssued)
	for _, c := range issued {
		if c.HostID == h.ID || c.Serial == h.Serial {
			err = errors.Join(err, tx.Bucket(bIssued).Delete([]byte(c.Serial)))
		}
	}
	return err
}

// certSet is both certificates of a host, in PEM.
type certSet struct {
	serverCrt, serverKey, clientCrt, clientKey []byte
}

// issueSet issues and records both certificates of a host. Its only error that
// is errIssuing has changed nothing.
func (s *Server) issueSet(tx *bbolt.Tx, h *Host, now time.Time) (set certSet, err error) {
	var server, client Certificate
	life := validity{now, now.Add(s.opt.CertFor)}
	set.serverCrt, set.serverKey, server, err = s.ca.issueHost(hostTemplate(h.FQDN, h.IPAddress, life, s.opt.LegacyCerts))
	if err == nil {
		set.clientCrt, set.clientKey, client, err = s.ca.issueHost(clientTemplate(h.FQDN, life))
	}
	if err != nil {
		return set, fmt.Errorf("%w: %w", errIssuing, err)
	}
	h.Serial, h.ClientSerial, h.NotAfter = server.Serial, client.Serial, server.NotAfter
	for _, rec := range []*Certificate{&server, &client} {
		rec.HostID = h.ID
		if err := s.record(tx, rec); err != nil {
			return set, err
		}
	}
	return set, nil
}

func (s *Server) record(tx *bbolt.Tx, rec *Certificate) (err error) {
	if rec.ID, err = newID(s.opt.Rand); err != nil {
		return err
	}
	return put(tx, bIssued, rec.Serial, rec)
}

// Reissue gives a host new certificates and revokes those that it has. Host,
// groups and history stay. A bundle that was not fetched yet is of the revoked
// ones, so it is dropped.
func (s *Server) Reissue(id string) (Reissued, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var h Host
	var set certSet
	err := s.store.db.Update(func(tx *bbolt.Tx) (err error) {
		if err := require(tx, bHosts, id, &h); err != nil {
			return err
		}
		if err := s.revokeOf(tx, h); err != nil {
			return err
		}
		if set, err = s.issueSet(tx, &h, s.opt.Now().UTC()); err != nil {
			return err
		}
		return put(tx, bHosts, h.ID, h)
	})
	if err != nil {
		return Reissued{}, fmt.Errorf("re-issue %s: %w", id, err)
	}
	s.takeBack(id)
	s.log.WithField("id", id).WithField("fqdn", h.FQDN).WithField("serial", h.Serial).Info("certificates re-issued")
	return Reissued{
		CertPEM: string(set.clientCrt), KeyPEM: string(set.clientKey), Serial: h.ClientSerial, ExpiresAt: h.NotAfter,
		ServerCert: string(set.serverCrt), ServerKey: string(set.serverKey), ServerSerial: h.Serial, CARoot: string(s.ca.pem),
	}, s.publishCRL()
}

// takeBack drops a host's bundle; the caller holds mu.
func (s *Server) takeBack(id string) {
	maps.DeleteFunc(s.bundles, func(_ string, b handout) bool { return b.hostID == id })
}

func (s *Server) addToGroup(id, group string) error {
	return s.store.db.Update(func(tx *bbolt.Tx) error {
		var h Host
		if err := require(tx, bHosts, id, &h); err != nil {
			return err
		}
		if slices.Contains(h.Groups, group) {
			return nil
		}
		h.Groups = append(h.Groups, group)
		return put(tx, bHosts, id, h)
	})
}

// certificates lists what was issued and is not of a removed host, newest
// first.
func (s *Server) certificates() ([]certificateRow, error) {
	list := []certificateRow{}
	now := s.opt.Now()
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		hosts, err := rows[Host](tx, bHosts)
		if err != nil {
			return err
		}
		owner := map[string]string{}
		for _, h := range hosts {
			owner[h.Serial] = h.ID
		}
		issued, err := rows[Certificate](tx, bIssued)
		for _, c := range issued {
			row, failed := rowOfCertificate(tx, c, owner[c.Serial], now)
			list, err = append(list, row), errors.Join(err, failed)
		}
		return err
	})
	slices.SortFunc(list, func(a, b certificateRow) int {
		return cmp.Or(b.IssuedAt.Compare(a.IssuedAt), strings.Compare(a.Serial, b.Serial))
	})
	return list, err
}

func rowOfCertificate(tx *bbolt.Tx, c Certificate, owner string, now time.Time) (certificateRow, error) {
	row := certificateRow{
		ID: cmp.Or(c.ID, c.Serial), Serial: c.Serial, CommonName: c.CN, Status: "active", IssuedAt: c.IssuedAt, ExpiresAt: c.NotAfter,
	}
	if host := cmp.Or(c.HostID, owner); host != "" {
		row.HostID = &host
	}
	if !now.Before(c.NotAfter) {
		row.Status = "expired"
	}
	var revoked Revocation
	ok, err := get(tx, bRevoked, c.Serial, &revoked)
	if ok {
		row.Status, row.RevokedAt = "revoked", &revoked.At
	}
	return row, err
}

// IssueClient makes a clientAuth certificate, with which to call hosts.
func (s *Server) IssueClient(cn string, pub *ecdsa.PublicKey) ([]byte, Certificate, error) {
	now := s.opt.Now().UTC()
	crt, rec, err := s.ca.issue(clientTemplate(cn, validity{now, now.Add(s.opt.CertFor)}), pub)
	if err != nil {
		return nil, rec, err
	}
	err = s.store.db.Update(func(tx *bbolt.Tx) error { return s.record(tx, &rec) })
	if err != nil {
		return nil, rec, err
	}
	s.log.WithField("cn", cn).WithField("serial", rec.Serial).Info("client certificate issued")
	return crt, rec, nil
}

// CRL is the revocation list, in PEM.
func (s *Server) CRL() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.currentCRL()
}

// currentCRL is signed anew when it ages; the caller holds mu.
func (s *Server) currentCRL() ([]byte, error) {
	age := s.opt.Now().Sub(s.crlAt)
	if s.crl != nil && age >= 0 && age < crlRefresh {
		return s.crl, nil
	}
	err := s.publishCRL()
	return s.crl, err
}

// publishCRL signs a new CRL, for the endpoint and the data directory; the
// caller holds mu.
func (s *Server) publishCRL() error {
	s.crl = nil
	now := s.opt.Now().UTC()
	var revoked []Revocation
	var number uint64
	err := s.store.db.Update(func(tx *bbolt.Tx) (err error) {
		if number, err = nextCRLNumber(tx); err != nil {
			return err
		}
		revoked, err = rows[Revocation](tx, bRevoked)
		return err
	})
	if err != nil {
		return fmt.Errorf("make CRL: %w", err)
	}
	crl, err := s.ca.signCRL(number, now, revoked)
	if err != nil {
		return err
	}
	if err := s.writeFile(s.path(fileCRL), crl, 0o644); err != nil {
		return err
	}
	s.crl, s.crlAt = crl, now
	return nil
}
