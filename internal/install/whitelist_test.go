package install_test

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/statedir"
)

// TestTheWhitelistsText: one entry more, and no other byte.
func TestTheWhitelistsText(t *testing.T) {
	const others = "# who may call\nentries:\n  - 198.51.100.7 # monitoring\n"
	for _, c := range []struct {
		name, text string
		// want is the text afterwards, covered what lets the manager in.
		want, covered string
		mode          os.FileMode
		warning       string
	}{
		{"others stay", others, others + "  - 192.0.2.1\n", managerIP, 0o644, ""},
		{"it is there", "entries:\n  - 192.0.2.1\n", "entries:\n  - 192.0.2.1\n", managerIP, 0o644, ""},
		{"a network covers it", "entries: [192.0.2.0/24]\n", "entries: [192.0.2.0/24]\n", "192.0.2.0/24", 0o644, ""},
		{"in brackets", "entries: [198.51.100.7]\n", "entries: [198.51.100.7, 192.0.2.1]\n", managerIP, 0o644, ""},
		{"CRLF", "entries:\r\n  - 198.51.100.7\r\n", "entries:\r\n  - 198.51.100.7\r\n  - 192.0.2.1\r\n", managerIP, 0o644, ""},
		{"no newline at the end", "entries:\n  - 198.51.100.7", "entries:\n  - 198.51.100.7\n  - 192.0.2.1", managerIP, 0o644, ""},
		{"a name does not let in", "entries:\n  - manager.example.com\n", "entries:\n  - manager.example.com\n  - 192.0.2.1\n", managerIP, 0o644, ""},
		{"its mode stays", others, others + "  - 192.0.2.1\n", managerIP, 0o600, ""},
		{"an open one is closed", others, others + "  - 192.0.2.1\n", managerIP, 0o666, "could be written by everybody (mode 0666); check that this is what you put there: 198.51.100.7"},
		{"an open one that covers is closed", "entries: [192.0.2.1]\n", "entries: [192.0.2.1]\n", managerIP, 0o662, "could be written by everybody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.Write(listFile, c.text, c.mode)
			b := s.bundle()
			res := s.provision(b, nil)
			if got := s.read(listFile); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got, want := s.mode(listFile), c.mode&^0o022; got != want {
				t.Errorf("got mode %04o, want %04o", got, want)
			}
			if w := res.Whitelist; !w.Present || w.Entry != managerIP || w.CoveredBy != c.covered || w.Path != listFile {
				t.Errorf("got %+v, want %s let in by %q", w, managerIP, c.covered)
			}
			if warns(t, res, c.warning); c.warning == "" && len(res.Warnings) > 0 {
				t.Errorf("got the warnings %q, want none", res.Warnings)
			}
			entries := s.installer(nil).Disk.Provenance().WhitelistEntries
			if added := strings.Contains(c.want, "192.0.2.1") && !strings.Contains(c.text, "192.0.2.1"); (len(entries) > 0) != added && c.mode != 0o662 {
				t.Errorf("got the entries %q on record, want them only where one was added: %v", entries, added)
			}
			if kept := s.provision(b, nil); kept.Changed || s.read(listFile) != c.want {
				t.Errorf("again: got %q, changed %v; want nothing", kept.Actions, kept.Changed)
			}
		})
	}
}

func TestWhitelistsThatAreNotEdited(t *testing.T) {
	long := strings.Repeat("# padding\n", 7<<20)
	for _, c := range []struct {
		name  string
		there func(s *site)
		code  contract.Code
		want  string
	}{
		{"no YAML", func(s *site) { s.Write(listFile, "entries: [\n", 0o644) }, contract.CodeWhitelist, "not valid YAML"},
		{"no list", func(s *site) { s.Write(listFile, "entries: 192.0.2.1\n", 0o644) }, contract.CodeWhitelist, "line 1"},
		{"another form", func(s *site) { s.Write(listFile, "x: &l [198.51.100.7]\nentries: *l\n", 0o644) }, contract.CodeWhitelist, "by hand"},
		{"not UTF-8", func(s *site) { s.Write(listFile, "entries: []\n# \xff\n", 0o644) }, contract.CodeWhitelist, "line 2"},
		{"a directory", func(s *site) { hosttest.Must(s.t, os.Mkdir(s.Path(listFile), 0o755)) }, contract.CodeFilesystem, "is a directory"},
		{"a link", func(s *site) {
			s.Write("/elsewhere", "entries: []\n", 0o644)
			hosttest.Must(s.t, os.Symlink("/elsewhere", s.Path(listFile)))
		}, contract.CodeFilesystem, "is a symbolic link"},
		{"a FIFO", func(s *site) { hosttest.Must(s.t, syscall.Mkfifo(s.Path(listFile), 0o644)) }, contract.CodeFilesystem, "is a FIFO"},
		{"too large", func(s *site) { s.Write(listFile, long, 0o644) }, contract.CodeFilesystem, "is larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.there(s)
			known := func(p *options.Params) { p.ManagerIP = managerIP }
			failsWith(t, s.installer(known).PreflightWhitelist(context.Background()), c.code, listFile, c.want)
			was, b := s.tree(), s.bundle()
			in := s.installer(nil)
			failsWith(t, in.Provision(context.Background(), &b, answered()), c.code, listFile, c.want)
			s.unchanged(was)
			if in.Result.Changed {
				t.Errorf("got changed with %q, want nothing done", in.Result.Actions)
			}
			off := s.installer(func(p *options.Params) { p.WhitelistManager = false })
			hosttest.Must(t, off.PreflightWhitelist(context.Background()))
			hosttest.Must(t, off.Provision(context.Background(), &b, answered()))
		})
	}
}

func TestWhoIsLetIn(t *testing.T) {
	for _, c := range []struct {
		name, from, option, entry, warning string
	}{
		{"the peer", "192.0.2.9", "", "192.0.2.9", ""},
		{"the option before the peer", "192.0.2.9", "192.0.2.5", "192.0.2.5", ""},
		{"no address", "", "", "", "the manager's address is not known"},
		{"IPv6", "2001:db8::1", "", "2001:db8::1", "deployed agents take IPv4 only"},
		{"IPv4 in IPv6", "::ffff:192.0.2.9", "", "192.0.2.9", ""},
	} {
		s := newSite(t)
		s.Write(listFile, "entries: []\n", 0o644)
		b := s.bundle()
		in := s.installer(func(p *options.Params) { p.ManagerIP = c.option })
		hosttest.Must(t, in.Provision(context.Background(), &b, install.SourceOf(statedir.Answer{URL: managerURL, PeerIP: c.from})))
		if got := strings.Contains(s.read(listFile), c.entry) && c.entry != ""; got != (c.entry != "") {
			t.Errorf("%s: got %q, want %q in it", c.name, s.read(listFile), c.entry)
		}
		if c.entry == "" && s.read(listFile) != "entries: []\n" {
			t.Errorf("%s: got %q, want it unchanged", c.name, s.read(listFile))
		}
		warns(t, in.Result, c.warning)
	}
}

// TestAnEntryThatSomeoneElseAddedIsTheirs: between the plan and the lock.
func TestAnEntryThatSomeoneElseAddedIsTheirs(t *testing.T) {
	s := newSite(t)
	// That enrollment added it to another whitelist before does not make it ours.
	hosttest.Must(t, s.installer(nil).Disk.Remember(func(p *statedir.Provenance) { p.AddWhitelistEntry("/srv/before.yaml", managerIP) }))
	s.Write(listFile, "entries: []\n", 0o644)
	s.during = func(e contract.Event) {
		if e == contract.EventProvisioned {
			s.Write(listFile, "entries: [192.0.2.1]\n", 0o644)
		}
	}
	s.provision(s.bundle(), nil)
	if got := s.installer(nil).Disk.Provenance().WhitelistEntries; len(got) > 0 {
		t.Errorf("got the entries %q on record, want none", got)
	}
	in := s.installer(nil)
	hosttest.Must(t, in.Remove(context.Background()))
	if got, want := s.read(listFile), "entries: [192.0.2.1]\n"; got != want {
		t.Errorf("after the removal: got %q, want %q", got, want)
	}
}

// TestAWhitelistElsewhere: what enrollment added to one file says nothing of the
// entries of another.
func TestAWhitelistElsewhere(t *testing.T) {
	const moved = "/etc/linux_patch_api/moved.yaml"
	s := newSite(t)
	s.Write(listFile, "entries: []\n", 0o644)
	b := s.bundle()
	s.provision(b, nil)
	s.Write(configFile, "whitelist:\n  path: "+moved+"\n", 0o640)
	s.Write(moved, "entries:\n  - 192.0.2.1 # an administrator's\n", 0o644)
	in := s.installer(nil)
	hosttest.Must(t, in.Provision(context.Background(), &b, install.SourceOf(statedir.Answer{URL: managerURL, PeerIP: "192.0.2.2"})))
	warns(t, in.Result, listFile)
	hosttest.Must(t, s.installer(nil).Remove(context.Background()))
	if got, want := s.read(moved), "entries:\n  - 192.0.2.1 # an administrator's\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAnEditThatFailsLeavesNoRecord: an administrator then adds the entry by hand,
// and it is theirs.
func TestAnEditThatFailsLeavesNoRecord(t *testing.T) {
	s := newSite(t)
	s.Write(listFile, "entries: []\n", 0o644)
	s.Write(configFile, configText, 0o640)
	s.during = func(contract.Event) { s.hold(listFile + ".lock") }
	b := s.bundle()
	failsWith(t, s.installer(nil).Provision(context.Background(), &b, answered()), contract.CodeLocked, listFile)
	if got := s.installer(nil).Disk.Provenance().WhitelistEntries; len(got) > 0 {
		t.Errorf("got the entries %q on record, want none", got)
	}
	// Someone writes the URL themselves just before it is written.
	const theirs = configText + "enrollment: {manager_url: " + managerURL + "}\n"
	s = newSite(t)
	s.Write(configFile, configText, 0o640)
	letIn := false
	s.during = func(e contract.Event) { letIn = letIn || e == contract.EventWhitelistChanged }
	s.before = func(o faultfs.Op) {
		if letIn && o.Name == "rename" && strings.HasSuffix(o.Path, "/provenance.json") && s.read(configFile) == configText {
			s.Write(configFile, theirs, 0o640)
		}
	}
	s.provision(b, func(p *options.Params) { p.ConfigManagerURL = true })
	if got := s.installer(nil).Disk.Provenance().ConfigManagerURL; got != "" || s.read(configFile) != theirs {
		t.Errorf("got the URL %q on record and %q, want none and %q", got, s.read(configFile), theirs)
	}
}

func TestPreflightWhitelist(t *testing.T) {
	const uneditable = "x: &l [198.51.100.9]\nentries: *l\n"
	for _, c := range []struct {
		name, text string
		addresses  []string
		check      bool
		code       contract.Code
		warning    string
	}{
		{name: "missing"},
		{name: "editable", text: "entries: []\n"},
		{name: "no YAML", text: "entries: [\n", code: contract.CodeWhitelist},
		{name: "uneditable, no address found", text: uneditable},
		{name: "uneditable, and it lets the manager in", text: uneditable, addresses: []string{"198.51.100.9"}},
		{name: "uneditable, and it does not", text: uneditable, addresses: []string{"198.51.100.9", "203.0.113.1"}, code: contract.CodeWhitelist},
		{name: "uneditable in check mode", text: uneditable, check: true, warning: "is not known in check mode"},
	} {
		s := newSite(t)
		if c.text != "" {
			s.Write(listFile, c.text, 0o644)
		}
		was := s.tree()
		in := s.installer(func(p *options.Params) { p.Check = c.check })
		in.LookupIP = func(_ context.Context, network, host string) (found []netip.Addr, err error) {
			if network != "ip" || host != "manager.corp.test" {
				t.Errorf("%s: got a look-up of %s %s, want ip manager.corp.test", c.name, network, host)
			}
			for _, a := range c.addresses {
				found = append(found, netip.MustParseAddr(a))
			}
			return found, nil
		}
		err := in.PreflightWhitelist(context.Background())
		if got := contract.CodeOf(err); err != nil && got != c.code || err == nil && c.code != "" {
			t.Errorf("%s: got %v, want %q", c.name, err, c.code)
		}
		warns(t, in.Result, c.warning)
		s.unchanged(was)
	}
}
