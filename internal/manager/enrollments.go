package manager

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		// An expired row keeps its machine_id taken until it is purged.
		if tx.Bucket(bPendingMachine).Get([]byte(p.MachineID)) != nil ||
			s.opt.Conflict409 && hostHasMachine(tx, p.MachineID) {
			return ErrKnown
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

// rows lists all requests, newest first, those that have expired among them.
func (s *Server) rows() ([]storedPending, error) {
	s.mu.Lock()
	err := s.sweep(s.opt.Now())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	list, err := all[storedPending](s.store, bPending)
	slices.SortFunc(list, func(a, b storedPending) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	return list, err
}

// Pending lists the requests that wait and have not expired, oldest first.
func (s *Server) Pending() ([]Pending, error) {
	rows, err := s.rows()
	now := s.opt.Now()
	list := []Pending{}
	for _, p := range slices.Backward(rows) {
		if now.Before(p.ExpiresAt) {
			list = append(list, p.Pending)
		}
	}
	return list, err
}

// Approve issues a host's certificates and makes the bundle fetchable, once. An
// expired request can be approved until it is purged. It returns ErrNotFound,
// or ErrHostExists when the FQDN or IP is taken.
//
// As deployed it is no transaction: when issuing fails, a host without a
// bundle is left, and the next approval is refused.
func (s *Server) Approve(id string) (Host, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now().UTC()
	if err := s.sweep(now); err != nil {
		return Host{}, err
	}
	var h Host
	var b handout
	var tokenHash string
	var failed error
	err := s.store.db.Update(func(tx *bbolt.Tx) error {
		p, err := s.approvable(tx, id)
		if err != nil {
			return err
		}
		tokenHash = p.TokenHash
		h = Host{
			ID: p.ID, MachineID: p.MachineID, FQDN: p.FQDN, IPAddress: p.IPAddress, OSDetails: p.OSDetails,
			ApprovedAt: now,
		}
		set, err := s.issueSet(tx, &h, now)
		if errors.Is(err, errIssuing) {
			failed = err
			return addHost(tx, h)
		}
		if err != nil {
			return err
		}
		b = handout{hostID: h.ID, until: now.Add(s.opt.Handout), crt: set.serverCrt, key: set.serverKey, repo: s.repoOf(h.OSDetails)}
		if err := addHost(tx, h); err != nil {
			return err
		}
		return dropPending(tx, p)
	})
	if err = errors.Join(err, failed); err != nil {
		return Host{}, fmt.Errorf("approve %s: %w", id, err)
	}
	s.bundles[tokenHash] = b
	s.log.WithField("id", h.ID).WithField("fqdn", h.FQDN).WithField("serial", h.Serial).Info("request approved")
	return h, nil
}

// approvable finds a request whose FQDN and address no host has.
func (s *Server) approvable(tx *bbolt.Tx, id string) (p storedPending, err error) {
	if err := require(tx, bPending, id, &p); err != nil {
		return p, err
	}
	h, taken, err := hostTaken(tx, p.FQDN, p.IPAddress)
	if taken && err == nil {
		err = &hostExistsError{h}
	}
	return p, err
}

// Deny deletes a request; one that does not exist is no error, as deployed.
func (s *Server) Deny(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.sweep(s.opt.Now()); err != nil {
		return err
	}
	return s.store.db.Update(func(tx *bbolt.Tx) error {
		var p storedPending
		ok, err := get(tx, bPending, id, &p)
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
		pending, err := pendingNow(tx, hash, now)
		if pending {
			state = contract.StatusPending
		}
		if pending || err != nil {
			return err
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
	return len(token) == tokenLength && strings.Trim(token, alphabet) == ""
}
