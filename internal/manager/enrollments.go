package manager

import (
	"fmt"
	"sort"
	"time"

	"github.com/sirupsen/logrus"
	"go.etcd.io/bbolt"

	"github.com/linux-patch/enroll/internal/contract"
)

// tokenLength is that of deployed polling tokens: letters and digits.
const tokenLength = 64

// register stores a request and returns its polling token, which is kept
// nowhere but with the host.
func (s *Server) register(p Pending) (token string, id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now().UTC()
	if err := s.sweep(now); err != nil {
		return "", "", err
	}
	if token, err = randomText(s.opt.Rand, tokenLength); err != nil {
		return "", "", err
	}
	if p.ID, err = newID(s.opt.Rand); err != nil {
		return "", "", err
	}
	p.CreatedAt, p.ExpiresAt = now, now.Add(s.opt.PendingFor)
	err = s.store.db.Update(func(tx *bbolt.Tx) error {
		old, live, err := pendingBy(tx, bPendingMachine, p.MachineID, now)
		switch {
		case err != nil:
			return err
		case live, s.opt.Conflict409 && hostHasMachine(tx, p.MachineID):
			return ErrKnown
		case old.ID != "":
			if err := dropPending(tx, old); err != nil {
				return err
			}
		}
		if s.pendingRows >= maxPending {
			return errFull
		}
		return addPending(tx, storedPending{p, hashOf(token)})
	})
	if err != nil {
		return "", "", err
	}
	s.pendingRows++
	s.log.WithFields(logFields(p)).Info("request registered")
	return token, p.ID, nil
}

// Pending lists the requests that wait, oldest first.
func (s *Server) Pending() ([]Pending, error) {
	now := s.opt.Now()
	list := []Pending{}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		return each(tx, bPending, func(p storedPending) error {
			if now.Before(p.ExpiresAt) {
				list = append(list, p.Pending)
			}
			return nil
		})
	})
	sort.Slice(list, func(i, j int) bool {
		if !list[i].CreatedAt.Equal(list[j].CreatedAt) {
			return list[i].CreatedAt.Before(list[j].CreatedAt)
		}
		return list[i].ID < list[j].ID
	})
	return list, err
}

// Approve issues a host's certificate and makes the bundle fetchable, once.
// It returns ErrNotFound, or ErrHostExists when the FQDN or IP is taken.
func (s *Server) Approve(id string) (Host, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now().UTC()
	var h Host
	var tokenHash string
	var crt, key []byte
	err := s.store.db.Update(func(tx *bbolt.Tx) error {
		p, ok, err := pendingByID(tx, id, now)
		if err != nil {
			return err
		}
		if !ok {
			return ErrNotFound
		}
		if hostTaken(tx, p.FQDN, p.IPAddress) {
			return ErrHostExists
		}
		var rec Certificate
		crt, key, rec, err = s.ca.issueHost(p.FQDN, p.IPAddress, now, s.opt.CertFor, s.opt.LegacyCerts)
		if err != nil {
			return err
		}
		tokenHash = p.TokenHash
		h = Host{
			ID: p.ID, MachineID: p.MachineID, FQDN: p.FQDN, IPAddress: p.IPAddress, OSDetails: p.OSDetails,
			Serial: rec.Serial, ApprovedAt: now, NotAfter: rec.NotAfter,
		}
		if err := dropPending(tx, p); err != nil {
			return err
		}
		if err := put(tx, bIssued, rec.Serial, rec); err != nil {
			return err
		}
		return addHost(tx, h)
	})
	if err != nil {
		return Host{}, fmt.Errorf("approve %s: %w", id, err)
	}
	s.bundles[tokenHash] = handout{hostID: h.ID, until: now.Add(s.opt.Handout), crt: crt, key: key}
	s.log.WithField("id", h.ID).WithField("fqdn", h.FQDN).WithField("serial", h.Serial).Info("request approved")
	return h, nil
}

// Deny deletes a request; one that does not exist is no error, as deployed.
func (s *Server) Deny(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	return s.store.db.Update(func(tx *bbolt.Tx) error {
		p, ok, err := pendingByID(tx, id, now)
		if err != nil || !ok {
			return err
		}
		if s.opt.RememberDenied {
			if err := put(tx, bDenied, p.TokenHash, p.ExpiresAt); err != nil {
				return err
			}
		}
		s.log.WithFields(logFields(p.Pending)).Info("request denied")
		return dropPending(tx, p)
	})
}

// poll tells the state behind a token, as one of the contract's status words,
// and hands out the bundle if it is approved: this was the only time.
func (s *Server) poll(token string) (string, *bundle, error) {
	if !tokenShaped(token) {
		return contract.StatusNotFound, nil, nil
	}
	hash := hashOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	if h, ok := s.bundles[hash]; ok {
		if !now.Before(h.until) {
			delete(s.bundles, hash)
			return contract.StatusNotFound, nil, nil
		}
		b, err := s.bundleOf(h)
		if err != nil {
			return "", nil, err
		}
		delete(s.bundles, hash)
		s.log.WithField("id", h.hostID).Info("bundle handed out")
		return contract.StatusApproved, b, nil
	}
	state := contract.StatusNotFound
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		_, ok, err := pendingBy(tx, bPendingToken, hash, now)
		if err != nil {
			return err
		}
		if ok {
			state = contract.StatusPending
			return nil
		}
		denied, err := deniedNow(tx, hash, now)
		if denied {
			state = contract.StatusDenied
		}
		return err
	})
	return state, nil, err
}

func deniedNow(tx *bbolt.Tx, tokenHash string, now time.Time) (bool, error) {
	var until time.Time
	ok, err := get(tx, bDenied, tokenHash, &until)
	return ok && now.Before(until), err
}

func logFields(p Pending) logrus.Fields {
	return logrus.Fields{"id": p.ID, "fqdn": p.FQDN, "ip_address": p.IPAddress, "source": p.Source}
}

func tokenShaped(token string) bool {
	if len(token) != tokenLength {
		return false
	}
	for _, c := range []byte(token) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
