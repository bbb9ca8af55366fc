package torture_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture"
)

// scenario is one way through the program that is attacked at every point.
type scenario struct {
	name    string
	options options
	// prepare brings host and manager to where the run starts, each time anew.
	prepare func(*site)
	// setup runs once.
	setup func(*site)
	// conflict409 makes the manager say 409 to a machine that it knows, where
	// deployed ones say 500 to a pending one, which is asked again for 6 s, and
	// let a host register once more.
	conflict409 bool
	// absent says that the run takes the enrollment back.
	absent bool
	// layout is where the host has its files.
	layout layout
	// root says that only root can make such a host.
	root bool
	// between tells what is wrong between an attack and the next run, and end
	// what is wrong in the end, besides what is wrong anywhere.
	between, end func(*site) []string
}

// site is a host and its manager.
type site struct {
	*host
	lab *lab
	// template is a host that setup made.
	template image
	// old is the serial number of the set that the run replaces, or "none".
	old string
	// carried are the options for a bundle that comes by hand, and carriedSerial
	// the serial number in it; nil where the manager gives the bundle.
	carried       options
	carriedSerial string
	// givenAway is what another user owned, and held are files of theirs that
	// are still open.
	givenAway map[string]fs.FileInfo
	held      []*os.File
}

const day = 24 * time.Hour

func scenarios() []scenario {
	fresh := func(s *site) { s.lab.forget(); s.layOut(); s.old = "none" }
	return []scenario{
		{name: "enroll", prepare: fresh, options: options{"token_storage": "state_dir"}, conflict409: true},
		{name: "enroll, token mirrored", prepare: fresh},
		{name: "provision from token", prepare: func(s *site) {
			fresh(s)
			s.lab.auto.Store(false)
			s.run(s.command(s.lab, options{"state": "registered"}))
			s.lab.auto.Store(true)
			s.lab.approve()
			s.lab.mu.Lock()
			s.lab.posts = 0
			s.lab.mu.Unlock()
		}},
		{name: "renew", setup: func(s *site) { s.enrollLongAgo() }, prepare: func(s *site) {
			s.lab.forget()
			s.restore(s.template)
		}},
		{name: "finish a killed run", setup: func(s *site) { s.enrollLongAgo(); s.killBetweenRenames() }, prepare: func(s *site) {
			s.restore(s.template)
		}, options: options{"renew_before": 0}},
		{name: "carried bundle", setup: func(s *site) { s.carryBundle() }, prepare: func(s *site) { s.layOut(); s.old = "none" }},
		{name: "absent", setup: func(s *site) { s.enrollLongAgo(options{"config_manager_url": nil}) }, options: options{"state": "absent"}, absent: true,
			prepare: func(s *site) { s.restore(s.template) }},
		managersURL(), attributes(), takeOwnership(),
		{name: "enroll, through a link of root's", prepare: fresh, layout: layout{home: "opt/lpa", linked: true}, end: linkStays},
	}
}

// enrollLongAgo makes a host whose certificate is about to expire.
func (s *site) enrollLongAgo(more ...options) {
	s.lab.ahead.Store(int64(-362 * day))
	s.layOut()
	// renew_before 0: else the run that enrolls would find it expiring at once.
	all := options{"renew_before": 0}
	for _, o := range more {
		maps.Copy(all, o)
	}
	if r := s.run(s.command(s.lab, all)); r.State != "enrolled" {
		s.t.Fatalf(`not enrolled: got %s, want "enrolled"`, r.raw)
	}
	s.lab.ahead.Store(0)
	s.template, s.old = s.image(), s.set()
}

// killBetweenRenames leaves a renewal whose key stands and whose certificate
// does not.
func (s *site) killBetweenRenames() {
	s.lab.forget()
	cmd := s.command(s.lab, nil)
	ended := s.attack(cmd, torture.Attack{At: 0, Counts: func(c torture.Call) bool {
		return strings.HasPrefix(c.Name, "rename") && strings.HasSuffix(c.To, "/certs/server.pem")
	}})
	if s.old = s.set(); !ended.Killed || !strings.HasPrefix(s.old, "mixture") {
		s.t.Fatalf("not killed between two renames: %v, the set is %s", ended.Hit, s.old)
	}
	s.template = s.image()
}

// carryBundle brings a bundle by hand.
func (s *site) carryBundle() {
	ca := pkitest.NewCA(s.t)
	leaf := ca.Issue(s.t, pkitest.DNS("web1.example.com"), pkitest.IP("127.0.0.1"))
	b := leaf.Bundle(s.t)
	raw, err := json.Marshal(contract.PollingStatus{Status: contract.StatusApproved, PkiBundle: b})
	must(s.t, err)
	file := filepath.Join(s.args, "bundle.json")
	must(s.t, os.WriteFile(file, raw, 0o600))
	block, _ := pemBlock(b.CACrt)
	s.carried = options{"bundle_path": file, "bundle_ca_fingerprint": fmt.Sprintf("%x", sum(block)), "manager_ip": "127.0.0.1"}
	s.carriedSerial = strings.ToLower(leaf.Cert.SerialNumber.Text(16))
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.lab.secrets = keyLines(string(raw))
}

func newSite(t testing.TB, c scenario) *site {
	t.Helper()
	if c.root && os.Geteuid() != 0 {
		t.Skip("only root can make such a host")
	}
	s := &site{host: newHostWith(t, c.layout), lab: newLab(t, manager.Options{Conflict409: c.conflict409})}
	t.Cleanup(s.letGo)
	if c.setup != nil {
		c.setup(s)
	}
	return s
}

// stored says what of the manager's answers is safe on the host's disk.
func (s *site) stored() (token, bundle bool) {
	return s.holds("state/token", `"token":"`) || s.holds("state/request", "stored "), s.holds("state/spool", "stored ")
}

// check holds a host that a scenario has come to the end of against what an
// undisturbed run leaves.
func (s *site) checkEnd(c scenario) []string {
	serial, list := "none", s.whitelist
	switch {
	case s.carried != nil:
		serial, list = s.carriedSerial, s.admitted()
	case !c.absent:
		serial, list = s.lab.serial(), s.admitted()
	}
	var wrong []string
	if c.end != nil {
		wrong = c.end(s)
	}
	return append(wrong, s.check(serial, list, s.lab.canaries())...)
}
