package manager

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"go.etcd.io/bbolt"
	"golang.org/x/crypto/bcrypt"
)

// The roles of accounts. A viewer reads, an operator also removes hosts and
// puts them into groups, an admin does everything.
const (
	RoleAdmin    = "admin"
	RoleOperator = "operator"
	RoleViewer   = "viewer"
)

// adminUser is the account of the first start. Its password is the admin token
// until it is given another one.
const adminUser = "admin"

// The deployed lockout.
const (
	lockAfter = 5
	lockFor   = 30 * time.Minute
)

// maxPassword is where bcrypt ends.
const maxPassword = 72

// totpStep is the time step of RFC 6238.
const totpStep = 30

var (
	errCredentials = errors.New("invalid credentials")
	errLocked      = errors.New("the account is locked")
	errDisabled    = errors.New("the account is disabled")
	errMFA         = errors.New("a TOTP code is required")
	errReset       = errors.New("the password must be reset")
)

// Account is a local account, as it is shown.
type Account struct {
	ID            string    `json:"id"`
	Username      string    `json:"username"`
	Role          string    `json:"role"`
	MFAEnabled    bool      `json:"mfa_enabled"`
	Disabled      bool      `json:"disabled"`
	ResetRequired bool      `json:"password_reset_required"`
	LockedUntil   time.Time `json:"locked_until,omitzero"`
}

// storedAccount is a row. UsedSteps are the time steps whose TOTP code served
// already, as long as it would still be accepted.
type storedAccount struct {
	Account
	PasswordHash string  `json:"password_hash,omitempty"`
	TOTPSecret   string  `json:"totp_secret,omitempty"`
	UsedSteps    []int64 `json:"used_steps,omitempty"`
	Wrong        int     `json:"wrong"`
}

// AccountChange is what to change of an account; nil leaves it as it is. An
// empty TOTPSecret removes the second factor.
type AccountChange struct {
	Role          *string `json:"role,omitempty"`
	Password      *string `json:"password,omitempty"`
	TOTPSecret    *string `json:"totp_secret,omitempty"`
	Disabled      *bool   `json:"disabled,omitempty"`
	ResetRequired *bool   `json:"password_reset_required,omitempty"`
	Unlock        bool    `json:"unlock,omitempty"`
}

// accountError refuses a change, in words for the one who asked for it.
type accountError struct{ text string }

func (e accountError) Error() string { return e.text }

// PutAccount makes or changes an account.
func (s *Server) PutAccount(name string, c AccountChange, create bool) (Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var a storedAccount
	err := s.store.db.Update(func(tx *bbolt.Tx) error {
		known, err := get(tx, bAccounts, name, &a)
		switch {
		case err != nil:
			return err
		case create && known:
			return accountError{"an account of this name exists"}
		case !create && !known:
			return ErrNotFound
		case create:
			if a, err = s.newAccount(name); err != nil {
				return err
			}
		}
		if err := a.change(c); err != nil {
			return err
		}
		if create && a.PasswordHash == "" {
			return accountError{"a new account needs a password"}
		}
		return put(tx, bAccounts, name, a)
	})
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", name, err)
	}
	s.log.WithField("account", name).WithField("role", a.Role).Info("account changed")
	return a.Account, nil
}

func (s *Server) newAccount(name string) (storedAccount, error) {
	if err := checkCN(name); err != nil {
		return storedAccount{}, accountError{"the name of an account is 1 to 64 printable characters"}
	}
	id, err := newID(s.opt.Rand)
	return storedAccount{Account: Account{ID: id, Username: name, Role: RoleAdmin}}, err
}

func (a *storedAccount) change(c AccountChange) error {
	if c.Role != nil {
		if !slices.Contains([]string{RoleAdmin, RoleOperator, RoleViewer}, *c.Role) {
			return accountError{"the role must be admin, operator or viewer"}
		}
		a.Role = *c.Role
	}
	if c.Password != nil {
		if err := a.setPassword(*c.Password); err != nil {
			return err
		}
	}
	if c.TOTPSecret != nil {
		if _, err := totp.GenerateCode(*c.TOTPSecret, time.Unix(0, 0)); err != nil {
			return accountError{"the TOTP seed is not base32"}
		}
		a.TOTPSecret, a.UsedSteps, a.MFAEnabled = *c.TOTPSecret, nil, *c.TOTPSecret != ""
	}
	if c.Disabled != nil {
		a.Disabled = *c.Disabled
	}
	if c.ResetRequired != nil {
		a.ResetRequired = *c.ResetRequired
	}
	if c.Unlock {
		a.Wrong, a.LockedUntil = 0, time.Time{}
	}
	return nil
}

func (a *storedAccount) setPassword(password string) error {
	if len(password) < 8 || len(password) > maxPassword {
		return accountError{fmt.Sprintf("the password must have 8 to %d bytes", maxPassword)}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	a.PasswordHash = string(hash)
	return err
}

// RemoveAccount deletes an account; its sessions end with it.
func (s *Server) RemoveAccount(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store.db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(bAccounts).Get([]byte(name)) == nil || name == adminUser {
			return ErrNotFound
		}
		return tx.Bucket(bAccounts).Delete([]byte(name))
	})
}

func (s *Server) account(name string) (a storedAccount, ok bool, err error) {
	err = s.store.db.View(func(tx *bbolt.Tx) error {
		ok, err = get(tx, bAccounts, name, &a)
		return err
	})
	return a, ok, err
}

// ensureAdmin makes the account of the first start.
func (s *Server) ensureAdmin() error {
	_, ok, err := s.account(adminUser)
	if err != nil || ok {
		return err
	}
	a, err := s.newAccount(adminUser)
	if err != nil {
		return err
	}
	return s.store.db.Update(func(tx *bbolt.Tx) error { return put(tx, bAccounts, adminUser, a) })
}

// authenticate judges a login and keeps count of it. The password comes first,
// so that only the one who knows it learns the state of the account.
func (s *Server) authenticate(in loginRequest, now time.Time) (a storedAccount, err error) {
	a, known, err := s.account(in.Username)
	if err != nil {
		return a, err
	}
	// This takes long on purpose, so it is done without mu.
	right := s.passwordFits(a, known, in.Password)
	s.mu.Lock()
	defer s.mu.Unlock()
	var verdict error
	err = s.store.db.Update(func(tx *bbolt.Tx) error {
		if known, err = get(tx, bAccounts, in.Username, &a); err != nil {
			return err
		}
		if !known {
			verdict = errCredentials
			return nil
		}
		verdict = a.judge(right, in.TOTPCode, now)
		return put(tx, bAccounts, in.Username, a)
	})
	return a, errors.Join(err, verdict)
}

// judge is the verdict on a login; it changes what is counted.
func (a *storedAccount) judge(right bool, code string, now time.Time) error {
	if now.Before(a.LockedUntil) {
		return errLocked
	}
	if !right {
		a.Wrong++
		if a.Wrong >= lockAfter {
			a.Wrong, a.LockedUntil = 0, now.Add(lockFor)
		}
		return errCredentials
	}
	a.Wrong, a.LockedUntil = 0, time.Time{}
	switch {
	case a.Disabled:
		return errDisabled
	case a.TOTPSecret != "" && code == "":
		return errMFA
	case a.TOTPSecret != "" && !a.takeCode(code, now):
		return errCredentials
	case a.ResetRequired:
		return errReset
	}
	return nil
}

// takeCode accepts a code of this time step or of one beside it, once.
func (a *storedAccount) takeCode(code string, now time.Time) bool {
	this := now.Unix() / totpStep
	a.UsedSteps = slices.DeleteFunc(a.UsedSteps, func(step int64) bool { return step < this-1 })
	for _, step := range []int64{this, this - 1, this + 1} {
		want, err := totp.GenerateCodeCustom(a.TOTPSecret, time.Unix(step*totpStep, 0), totp.ValidateOpts{
			Period: totpStep, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
		})
		if err != nil || subtle.ConstantTimeCompare([]byte(want), []byte(code)) != 1 {
			continue
		}
		if slices.Contains(a.UsedSteps, step) {
			return false
		}
		a.UsedSteps = append(a.UsedSteps, step)
		return true
	}
	return false
}

// passwordFits compares in constant time. An unknown account costs what a
// known one does.
func (s *Server) passwordFits(a storedAccount, known bool, password string) bool {
	if known && a.PasswordHash == "" {
		got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(s.token))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	hash := a.PasswordHash
	if !known {
		hash = nobodysHash
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil && known
}

// nobodysHash is compared with where there is no account.
const nobodysHash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
