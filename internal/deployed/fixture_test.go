package deployed_test

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/deployed"
)

// writeFixtures makes testdata/0.1.0 anew, with the programs of 0.1.0.
var writeFixtures = flag.String("write-fixtures", "", "write testdata/0.1.0, with the module enrollment of 0.1.0 in this directory")

// phases are hosts as 0.1.0 leaves them, and what they are known by.
var phases = map[string]func(*site) bool{
	"registering": func(s *site) bool { token, _ := s.kept(); return token && s.has("state/request") },
	"pending": func(s *site) bool {
		token, _ := s.kept()
		return token && !s.has("state/request") && !s.has("state/spool")
	},
	"spooled":  func(s *site) bool { return s.spooled() && !s.has("state/journal") && !s.whole() },
	"journal":  func(s *site) bool { return s.has("state/journal") },
	"enrolled": func(s *site) bool { return s.ended() && !s.has("state/spool") },
}

func (s *site) has(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// fixture is where a phase's files are.
const fixture = "testdata/0.1.0"

// words are what each test has of its own, and what stands for it in a fixture.
func (s *site) words() [][2]string {
	s.t.Helper()
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		s.t.Skipf("a host has a machine-id: %v", err)
	}
	return [][2]string{{s.url, "@MANAGER@"}, {s.dir, "@HOST@"}, {strings.TrimSpace(string(id)), "@MACHINE@"}}
}

// translate replaces words in a file, also in one that says its own length and
// digest: a line of fixed width, the content, and zeros up to the size that was
// allocated.
func translate(text string, words *strings.Replacer, size int) string {
	header, content, slot := strings.Cut(text, "\n")
	fields := strings.Fields(header)
	if !slot || !strings.HasPrefix(header, "linux-patch-enroll slot") {
		return words.Replace(text)
	}
	content = words.Replace(strings.TrimRight(content, "\x00"))
	line := fmt.Sprintf("%s %d %x", strings.Join(fields[:len(fields)-2], " "), len(content), sha256.Sum256([]byte(content)))
	text = fmt.Sprintf("%-*s\n%s", len(header), line, content)
	return text + strings.Repeat("\x00", max(0, size-len(text)))
}

func TestWriteFixtures(t *testing.T) {
	if *writeFixtures == "" {
		return // what it would write is read by the test below
	}
	for name, reached := range phases {
		for tries := 0; ; tries++ {
			if tries == 1000 {
				t.Fatalf("%s is not reached, want it in one of %d runs", name, tries)
			}
			s := hostFor(t)
			s.manager.Days = 20 * 365
			if s.stop(filepath.Join(*writeFixtures, "enrollment"), reached) {
				s.store(filepath.Join(fixture, name))
				break
			}
		}
	}
}

// store copies the host's files.
func (s *site) store(to string) {
	s.t.Helper()
	var pairs []string
	for _, w := range s.words() {
		pairs = append(pairs, w[0], w[1])
	}
	words := strings.NewReplacer(pairs...)
	for _, top := range []string{"state", "etc"} {
		err := filepath.WalkDir(s.path(top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			target := filepath.Join(to, strings.TrimPrefix(path, s.dir))
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			return os.WriteFile(target, []byte(translate(string(raw), words, 0)), 0o644)
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// load puts a phase's files on the host, in place of its own.
func (s *site) load(from string) {
	s.t.Helper()
	var pairs []string
	for _, w := range s.words() {
		pairs = append(pairs, w[1], w[0])
	}
	words := strings.NewReplacer(pairs...)
	if err := os.RemoveAll(s.path("etc")); err != nil {
		s.t.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, from)
		mode := os.FileMode(0o755)
		if strings.HasPrefix(name, "/state") {
			mode = 0o700
		}
		if d.IsDir() {
			return os.MkdirAll(s.path(name), mode)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mode = 0o600
		if strings.HasSuffix(name, ".pem") {
			mode = 0o644
		}
		size := map[string]int{"/state/spool": 1573106, "/state/request": 4338}[name]
		return os.WriteFile(s.path(name), []byte(translate(string(raw), words, size)), mode)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestSection5_StateFilesOf0_1_0 lets both programs go on where 0.1.0 has ended.
func TestSection5_StateFilesOf0_1_0(t *testing.T) {
	for name, reached := range phases {
		for _, p := range []side{{"module", bin.Path("enrollment"), false}, {"agent", bin.Path("linux_patch_api"), true}} {
			t.Run(name+", "+p.name, func(t *testing.T) {
				t.Parallel()
				s := hostFor(t)
				s.load(filepath.Join(fixture, name))
				if !reached(s) {
					t.Fatalf("got another phase, want %s", name)
				}
				waits := name == "pending" || name == "registering"
				if waits {
					s.manager.Remember(s.token(), deployed.Request{MachineID: machineID, FQDN: "web1.example.com", IPAddress: "127.0.0.1"})
					if err := s.manager.Approve(machineID); err != nil {
						t.Fatal(err)
					}
				}
				s.finish(p)
				if got := s.manager.Requests(); len(got) > 0 {
					t.Errorf("got %d registrations, want what 0.1.0 stored taken up", len(got))
				}
				if got, want := s.manager.HandedOut(), map[bool]int{true: 1}[waits]; got != want {
					t.Errorf("got %d bundles asked for, want %d", got, want)
				}
				s.deployedAgentStarts(loopback)
				if r := s.module(map[string]any{"state": "absent"}); r.Failed || s.whole() {
					t.Errorf("got %v, want what 0.1.0 wrote removed", r)
				}
			})
		}
	}
}

// token is the polling token that the host has stored.
func (s *site) token() string {
	s.t.Helper()
	var record struct{ Token string }
	if err := json.Unmarshal([]byte(s.read("state/token")), &record); err != nil {
		s.t.Fatal(err)
	}
	return record.Token
}
