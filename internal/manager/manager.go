// Package manager is a reference linux_patch_manager: the server side of
// enrollment, with its own CA, its admin API and the command line for both,
// for demo, tests and labs.
//
// It promises the habits of deployed managers, those included that have cost
// hosts their certificates: an approved bundle lives in memory only, is handed
// out once and for a limited time. It is built from the manager contract and
// shares nothing but package contract with the client, so that each side
// checks the other. It is honest: it never sends a wrong bundle on purpose.
//
// It is not the production manager: one administrator, one process, and a CA
// key in a file.
package manager

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/afero"
)

// What deployed managers do.
const (
	DefaultHandout    = 600 * time.Second
	DefaultPendingFor = 24 * time.Hour
	DefaultCertFor    = 365 * 24 * time.Hour
	DefaultPurgeEvery = time.Hour
)

// maxPending bounds what strangers can make the manager store.
const maxPending = 100_000

var (
	// ErrNotFound says that there is no pending request, host or certificate
	// of that name.
	ErrNotFound = errors.New("not found")
	// ErrHostExists refuses an approval: a host with this FQDN or IP exists.
	ErrHostExists = errors.New("a host with this FQDN or IP address exists")
	// ErrKnown refuses a registration: the machine_id is known already.
	ErrKnown = errors.New("this machine is already known")

	errFull    = errors.New("too many pending requests")
	errIssuing = errors.New("certificate generation failed")
)

// Options say how a Server behaves. The zero value of each but Dir is what
// deployed managers do.
type Options struct {
	// Dir is the data directory; it is made when missing.
	Dir string
	// Dialect is 1 (the HTTP code tells the state) or 2 (the body does).
	Dialect int
	// AutoApprove approves requests whose connection comes from one of these,
	// whatever address the request claims.
	AutoApprove []netip.Prefix
	// AutoApproveFQDN approves requests by the FQDN that they claim, which
	// anyone can: for labs only. A pattern as in path.Match.
	AutoApproveFQDN string
	// NoRateLimit takes the limits from all endpoints.
	NoRateLimit bool
	// Handout, PendingFor and CertFor are how long an approved bundle can be
	// fetched, a request waits, and an issued certificate is valid.
	Handout, PendingFor, CertFor time.Duration
	// PurgeEvery is how often expired requests are deleted. Until then they
	// are listed, can be approved, and keep their machine_id taken.
	PurgeEvery time.Duration
	// AccessFor and RefreshFor are how long the tokens of a login last.
	AccessFor, RefreshFor time.Duration
	// AllowFrom is where the admin API may be called from; anywhere when empty.
	AllowFrom []netip.Prefix
	// HideTokenHash leaves the hash of the polling token out of the list of
	// requests.
	HideTokenHash bool
	// RepoConfig names a JSON file of package repositories, see RepoConfig.
	RepoConfig string
	// Conflict409 answers 409 to known machines, pending ones and hosts, in
	// place of the deployed 500 to pending ones.
	Conflict409 bool
	// RememberDenied tells a denied host so until its request would have
	// expired, in place of deleting the request.
	RememberDenied bool
	// NotFoundAlt spells dialect 2's state "not_found".
	NotFoundAlt bool
	// NewerBundle is "on" or "off" for ca_chain and crl_pem in the bundle;
	// "" or "auto" is on in dialect 2 only.
	NewerBundle string
	// LegacyCerts issues host certificates as managers before 2.0 do: clientAuth
	// only and no SAN.
	LegacyCerts bool

	// Now is the clock; time.Now when nil. It is called from many goroutines.
	Now func() time.Time
	// Rand is where tokens, ids and serial numbers come from; crypto/rand
	// when nil.
	Rand io.Reader
	// Fs holds everything in Dir but the database; the real file system when
	// nil.
	Fs afero.Fs
	// Log receives events without secrets; nothing is logged when nil.
	Log *logrus.Logger
	// AccessLog receives one JSON line per request, see AccessLine.
	AccessLog io.Writer
}

// Server is one manager on one data directory. All its methods may be called
// at the same time.
type Server struct {
	opt     Options
	fs      afero.Afero
	store   *store
	ca      *authority
	limits  *limiter
	lines   *accessLog
	log     *logrus.Logger
	handler http.Handler
	// token is what the command line proves itself with, and the password of the
	// account "admin" until that is given another one.
	token string
	repos []repoEntry

	// mu makes each change of an enrollment's state, and each look at it, one
	// step: between an approval's commit and its bundle in memory no poll may
	// see "not found".
	mu      sync.Mutex
	bundles map[string]handout
	// access and refresh are the tokens of logins, by hash.
	access, refresh map[string]session
	crl             []byte
	crlAt           time.Time
	sweptAt         time.Time
	// started and purgedAt make the hourly purge happen when it is due, no
	// matter when someone asks next.
	started, purgedAt time.Time
	// pendingRows is how many there may be: exact at each sweep, and too high
	// rather than too low between two.
	pendingRows int
}

// handout is an approved bundle until it is fetched or its time is over.
type handout struct {
	hostID string
	until  time.Time
	crt    []byte
	key    []byte
	repo   *RepoConfig
}

// New opens the data directory, making the CA, the admin token and the
// database at first start. A second Server on the same directory is refused.
func New(opt Options) (*Server, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	s := &Server{
		opt:     opt,
		fs:      afero.Afero{Fs: opt.Fs},
		log:     opt.Log,
		lines:   &accessLog{w: opt.AccessLog, now: opt.Now, failed: func(err error) { opt.Log.WithError(err).Error("request failed") }},
		bundles: map[string]handout{},
		access:  map[string]session{},
		refresh: map[string]session{},
		started: opt.Now(),
	}
	if !opt.NoRateLimit {
		s.limits = newLimiter()
	}
	if opt.RepoConfig != "" {
		repos, err := loadRepoConfigs(opt.Fs, opt.RepoConfig)
		if err != nil {
			return nil, err
		}
		s.repos = repos
	}
	if err := s.prepareDir(); err != nil {
		return nil, err
	}
	st, err := s.openDatabase()
	if err != nil {
		return nil, err
	}
	s.store = st
	if err := s.openFiles(); err != nil {
		return nil, errors.Join(err, st.close())
	}
	s.handler = s.routes()
	return s, nil
}

// openFiles reads or makes what stands beside the database, whose lock is held
// by now.
func (s *Server) openFiles() error {
	if err := s.checkCA(); err != nil {
		return err
	}
	ca, err := s.openCA()
	if err != nil {
		return err
	}
	s.ca = ca
	if err := s.markCA(); err != nil {
		return err
	}
	if s.token, err = s.openAdminToken(); err != nil {
		return err
	}
	if err := s.ensureAdmin(); err != nil {
		return err
	}
	_, err = s.CRL()
	return err
}

func (o *Options) complete() error {
	if o.Dir == "" {
		return errors.New("no data directory")
	}
	o.Dialect = cmp.Or(o.Dialect, 2)
	if o.Dialect != 1 && o.Dialect != 2 {
		return fmt.Errorf("dialect %d: must be 1 or 2", o.Dialect)
	}
	switch o.NewerBundle {
	case "", "auto":
		o.NewerBundle = "off"
		if o.Dialect == 2 {
			o.NewerBundle = "on"
		}
	case "on", "off":
	default:
		return fmt.Errorf("newer bundle %q: must be auto, on or off", o.NewerBundle)
	}
	if _, err := path.Match(o.AutoApproveFQDN, ""); err != nil {
		return fmt.Errorf("FQDN pattern %q: %w", o.AutoApproveFQDN, err)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"hand-out time", &o.Handout, DefaultHandout},
		{"pending time", &o.PendingFor, DefaultPendingFor},
		{"certificate lifetime", &o.CertFor, DefaultCertFor},
		{"purge interval", &o.PurgeEvery, DefaultPurgeEvery},
		{"access token lifetime", &o.AccessFor, DefaultAccessFor},
		{"refresh token lifetime", &o.RefreshFor, DefaultRefreshFor},
	} {
		if *d.value = cmp.Or(*d.value, d.def); *d.value < 0 {
			return fmt.Errorf("%s %v: must be positive", d.name, *d.value)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Fs == nil {
		o.Fs = afero.NewOsFs()
	}
	if o.Log == nil {
		o.Log = logrus.New()
		o.Log.SetOutput(io.Discard)
	}
	if o.AccessLog == nil {
		o.AccessLog = io.Discard
	}
	return nil
}

// Handler serves both enrollment endpoints, the admin API and the page at /.
func (s *Server) Handler() http.Handler { return s.handler }

// CAPEM is the CA certificate, the trust anchor of hosts.
func (s *Server) CAPEM() []byte { return s.ca.pem }

// Close forgets the approved bundles and closes the database.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.bundles)
	return s.store.close()
}

// sweep drops, at most once a minute, what time has ended. The caller holds
// mu. Nothing depends on it but memory and disk: every reader looks at the
// clock itself.
func (s *Server) sweep(now time.Time) error {
	if err := s.purge(now); err != nil {
		return err
	}
	if d := now.Sub(s.sweptAt); d >= 0 && d < time.Minute {
		return nil
	}
	s.sweptAt = now
	maps.DeleteFunc(s.bundles, func(_ string, h handout) bool { return !now.Before(h.until) })
	for _, tokens := range []map[string]session{s.access, s.refresh} {
		maps.DeleteFunc(tokens, func(_ string, t session) bool { return !now.Before(t.until) })
	}
	if s.limits != nil {
		s.limits.sweep(now)
	}
	return nil
}

// purge deletes what had expired when the last purge was due. The first is due
// at the start.
func (s *Server) purge(now time.Time) (err error) {
	due := s.started.Add(now.Sub(s.started).Truncate(s.opt.PurgeEvery))
	if due.Equal(s.purgedAt) {
		return nil
	}
	s.purgedAt = due
	s.pendingRows, err = s.store.purge(due)
	return err
}

func (s *Server) autoApproved(source netip.Addr, fqdn string) bool {
	if within(s.opt.AutoApprove, source) {
		return true
	}
	// No FQDN matches the empty pattern; a bad one was refused at the start.
	ok, _ := path.Match(strings.ToLower(s.opt.AutoApproveFQDN), strings.ToLower(fqdn))
	return ok
}
