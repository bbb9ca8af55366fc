package manager

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"sort"
	"time"

	"go.etcd.io/bbolt"
)

const (
	crlLifetime = 30 * 24 * time.Hour
	// crlRefresh keeps the published CRL well inside its lifetime.
	crlRefresh = 24 * time.Hour
)

// Hosts lists the approved hosts by FQDN.
func (s *Server) Hosts() ([]Host, error) {
	list := []Host{}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		return each(tx, bHosts, func(h Host) error {
			list = append(list, h)
			return nil
		})
	})
	sort.Slice(list, func(i, j int) bool { return list[i].FQDN < list[j].FQDN })
	return list, err
}

// RemoveHost forgets a host, revokes its certificate and takes back a bundle
// that was not fetched yet. The host can then be approved anew.
func (s *Server) RemoveHost(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.store.db.Update(func(tx *bbolt.Tx) error {
		var h Host
		ok, err := get(tx, bHosts, id, &h)
		if err != nil {
			return err
		}
		if !ok {
			return ErrNotFound
		}
		if err := s.revokeIn(tx, h.Serial); err != nil {
			return err
		}
		return dropHost(tx, h)
	})
	if err != nil {
		return fmt.Errorf("remove host %s: %w", id, err)
	}
	for hash, b := range s.bundles {
		if b.hostID == id {
			delete(s.bundles, hash)
		}
	}
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

// IssueClient makes a clientAuth certificate, with which to call hosts.
func (s *Server) IssueClient(cn string, pub *ecdsa.PublicKey) ([]byte, Certificate, error) {
	now := s.opt.Now().UTC()
	crt, rec, err := s.ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: cn},
		NotBefore:   now,
		NotAfter:    now.Add(s.opt.CertFor),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, pub)
	if err != nil {
		return nil, rec, err
	}
	err = s.store.db.Update(func(tx *bbolt.Tx) error { return put(tx, bIssued, rec.Serial, rec) })
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
		return each(tx, bRevoked, func(r Revocation) error {
			revoked = append(revoked, r)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("make CRL: %w", err)
	}
	crl, err := s.ca.signCRL(number, now, revoked)
	if err != nil {
		return err
	}
	if err := s.writeFile(s.path("crl.pem"), crl, 0o644); err != nil {
		return err
	}
	s.crl, s.crlAt = crl, now
	return nil
}
