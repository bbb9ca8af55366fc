package torture_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/whitelist"
)

const configText = `# Agent configuration: %[1]s
server:
  port: 12443   # as deployed

tls:
  ca_cert: %[1]s/certs/ca.pem
  server_cert: "%[1]s/certs/server.pem"
  server_key: '%[1]s/certs/server.key.pem'
  crl_path: %[1]s/certs/crl.pem
whitelist:
  path: %[1]s/etc/whitelist.yaml
enrollment:
  # the manager's own words
  cert_renewal_threshold_days: 7
logging:
  file_path: %[1]s/log/audit.log
`

const whitelistText = `# who may call this agent
entries:
  - 192.0.2.10   # the old manager

  # the office
  - "198.51.100.0/24"
`

// host is the directory of one host that is attacked again and again.
type host struct {
	t   testing.TB
	dir string
	// secrets stands beside, with the argument files.
	args string
	// whitelist and config are the texts before enrollment.
	whitelist, config string
	// configAfter is what config.yaml becomes; empty where it stays.
	configAfter string
	// layout is where the files lie.
	layout layout
	// as is who runs the program; nil is who runs the test.
	as *syscall.Credential
	// keyMode is the mode of the key.
	keyMode fs.FileMode
}

func newHost(t testing.TB) *host {
	t.Helper()
	return newHostWith(t, layout{})
}

func newHostWith(t testing.TB, l layout) *host {
	t.Helper()
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "host"), args: t.TempDir(), layout: l, keyMode: 0o600}
	h.whitelist, h.config = whitelistText, l.config(h.dir)
	h.layOut()
	return h
}

// layOut makes the host anew, never enrolled.
func (h *host) layOut() {
	must(h.t, os.RemoveAll(h.dir))
	must(h.t, os.MkdirAll(h.path("etc"), 0o755))
	must(h.t, os.Chmod(h.dir, 0o755))
	must(h.t, h.layout.link(h.dir))
	must(h.t, os.WriteFile(h.path("etc/config.yaml"), []byte(h.config), 0o640))
	must(h.t, os.WriteFile(h.path("etc/whitelist.yaml"), []byte(h.whitelist), 0o644))
	must(h.t, os.Chmod(h.path("etc/whitelist.yaml"), 0o644))
}

func (h *host) path(name string) string { return filepath.Join(h.dir, h.layout.place(name)) }

// image is everything on a host.
type image map[string]imageFile

type imageFile struct {
	mode    fs.FileMode
	content []byte
	// target is that of a link.
	target   string
	uid, gid int
	xattrs   map[string]string
}

func (h *host) image() image {
	all := image{}
	must(h.t, filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		f := imageFile{mode: info.Mode(), uid: int(st.Uid), gid: int(st.Gid)}
		switch {
		case d.Type().IsRegular():
			if f.content, err = os.ReadFile(path); err == nil {
				f.xattrs, err = xattrs(path)
			}
		case d.Type()&fs.ModeSymlink != 0:
			f.target, err = os.Readlink(path)
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(h.dir, path)
		all[rel] = f
		return err
	}))
	return all
}

// restore makes the host as it was when the image was taken.
func (h *host) restore(all image) {
	must(h.t, os.RemoveAll(h.dir))
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names) // directories before what is in them
	for _, name := range names {
		must(h.t, all[name].write(filepath.Join(h.dir, name)))
	}
}

func (f imageFile) write(path string) error {
	switch {
	case f.target != "":
		return os.Symlink(f.target, path)
	case f.mode.IsDir():
		if err := os.Mkdir(path, f.mode.Perm()); err != nil {
			return err
		}
	default:
		if err := os.WriteFile(path, f.content, 0o600); err != nil {
			return err
		}
	}
	if f.uid != os.Geteuid() || f.gid != os.Getegid() {
		if err := os.Lchown(path, f.uid, f.gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(path, f.mode.Perm()); err != nil {
		return err
	}
	for name, value := range f.xattrs {
		if err := unix.Setxattr(path, name, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// options are the arguments of a run; a nil value takes one away.
type options map[string]any

func (h *host) command(l *lab, more options) torture.Command {
	all := options{
		"config_path": filepath.Join(h.dir, h.layout.said("etc/config.yaml")), "state_dir": h.path("state"),
		// What is compared at the end is the file as it was written by hand.
		"config_manager_url": false,
		"fqdn":               "web1.example.com", "report_ip": "127.0.0.1", "wait": false, "polling_interval_seconds": 1,
	}
	if l != nil {
		all["manager_url"], all["manager_ca_path"] = l.http.URL, l.caPath
	}
	for name, value := range more {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	raw, err := json.Marshal(all)
	must(h.t, err)
	file := filepath.Join(h.args, "args.json")
	must(h.t, os.WriteFile(file, raw, 0o600))
	return torture.Command{Path: bin.Path("enrollment"), Args: []string{file}, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}}
}

// result is what the program prints.
type result struct {
	Changed, Failed bool
	Msg, State      string
	Actions         []string
	Warnings        []string
	Manager         *struct{ IP string }
	Error           *struct {
		Code, Hint string
		Retryable  bool
	}
	raw  string
	exit int
}

func (r result) code() string {
	if r.Error == nil {
		return ""
	}
	return r.Error.Code
}

// one line, and nothing else.
var oneObject = regexp.MustCompile(`^\{.*\}\n$`)

func parse(stdout, stderr string, exit int) (result, error) {
	r := result{raw: stdout, exit: exit}
	if !oneObject.MatchString(stdout) || stderr != "" {
		return r, fmt.Errorf("not one JSON object: stdout %q, stderr %q", stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		return r, err
	}
	if r.Failed != (exit != 0) {
		return r, fmt.Errorf("failed is %v, and the exit code %d", r.Failed, exit)
	}
	return r, nil
}

// run runs the program undisturbed.
func (h *host) run(cmd torture.Command) result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, cmd.Path, cmd.Args...)
	c.Env, c.Stdin = cmd.Env, strings.NewReader(cmd.Stdin)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: h.as}
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run() // the exit code tells
	r, err := parse(out.String(), errs.String(), c.ProcessState.ExitCode())
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// attack runs the program under attack.
func (h *host) attack(cmd torture.Command, a torture.Attack) torture.Ended {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ended, err := torture.Run(ctx, cmd, a)
	if err != nil {
		h.t.Fatal(err)
	}
	return ended
}

// needTracing skips a test where this machine can't be traced.
func needTracing(t *testing.T) {
	t.Helper()
	if _, err := torture.Run(context.Background(), torture.Command{Path: bin.Path("enrollment"), Args: []string{"--help"}}, torture.Attack{At: -1}); err != nil {
		t.Skip(err)
	}
}

// set says what certificate set is on the host: its serial number, "none", or
// what is wrong with it.
func (h *host) set() string {
	var parts [4][]byte
	missing := 0
	for i, name := range []string{"ca.pem", "server.pem", "server.key.pem", "crl.pem"} {
		raw, err := os.ReadFile(h.path("certs/" + name))
		if err != nil && i < 3 {
			missing++
		}
		parts[i] = raw
	}
	switch missing {
	case 3:
		return "none"
	case 0:
	default:
		return "mixture: files are missing"
	}
	s, err := pki.ParseFiles(parts[0], parts[1], parts[2], parts[3])
	if err == nil {
		_, err = s.Verify(pki.VerifyOptions{Now: time.Now()})
	}
	// A daemon fetches the list that names its own certificate too.
	if err != nil && !errors.Is(err, pki.ErrRevoked) {
		return "mixture: " + err.Error()
	}
	return strings.ToLower(s.Server.SerialNumber.Text(16))
}

// admitted is the whitelist that an undisturbed run leaves.
func (h *host) admitted() string {
	after, err := whitelist.Add([]byte(h.whitelist), netip.MustParseAddr("127.0.0.1"))
	must(h.t, err)
	if strings.Count(string(after), "127.0.0.1") != 1 || !strings.HasPrefix(string(after), strings.TrimSuffix(h.whitelist, "\n")) {
		h.t.Fatalf("the edit changes more than it adds: %q", after)
	}
	return string(after)
}

// files that may stand on a host when a run has ended.
var (
	lasting = regexp.MustCompile(`^(\.|etc|certs|state|log|run|etc/(config|whitelist)\.yaml(\.lock)?|etc/whitelist\.yaml\.[0-9TZ]+~|` +
		`certs/(ca|server|server\.key|crl)\.pem|certs/(ca|server|server\.key|crl)\.pem\.[0-9TZ]+~|` +
		`state/(lock|provenance\.json)|log/audit\.log)$`)
	keyFile = regexp.MustCompile(`^certs/server\.key\.pem(\.[0-9TZ]+~)?$`)
	keyCopy = regexp.MustCompile(`^certs/server\.key\.pem\.[0-9TZ]+~$`)
)

// mayShow are the bits that a file may have for others: those that the key has
// by the administrator's will, and no copy of it.
func (h *host) mayShow(name string) fs.FileMode {
	if name == "certs/server.key.pem" {
		return h.keyMode
	}
	return 0
}

// check says what is wrong on a host that must hold the set with this serial
// number and this whitelist.
func (h *host) check(serial, whitelist string, secrets []string) (wrong []string) {
	if got := h.set(); got != serial {
		wrong = append(wrong, fmt.Sprintf("the set is %s, want %s", got, serial))
	}
	copies := 0
	for name, f := range h.image() {
		if name = h.layout.short(name); !lasting.MatchString(name) {
			wrong = append(wrong, "left behind: "+name)
		}
		if keyCopy.MatchString(name) {
			copies++
		}
		closed := keyFile.MatchString(name) || strings.HasPrefix(name, "state/")
		if f.mode.IsRegular() && closed && f.mode.Perm()&0o077&^h.mayShow(name) != 0 {
			wrong = append(wrong, fmt.Sprintf("%s has mode %v", name, f.mode))
		}
		if keyFile.MatchString(name) {
			continue
		}
		for _, secret := range secrets {
			if bytes.Contains(f.content, []byte(secret)) {
				wrong = append(wrong, "a secret stands in "+name)
			}
		}
	}
	if copies > 1 {
		wrong = append(wrong, fmt.Sprintf("%d copies of keys", copies))
	}
	for name, want := range map[string]string{"etc/whitelist.yaml": whitelist, "etc/config.yaml": cmp.Or(h.configAfter, h.config)} {
		if got, err := os.ReadFile(h.path(name)); err != nil || string(got) != want {
			wrong = append(wrong, fmt.Sprintf("%s is %q, want %q", name, got, want))
		}
	}
	return wrong
}
