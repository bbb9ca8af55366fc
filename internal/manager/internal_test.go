package manager

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// AdminToken is the secret that the command line proves itself with.
func (s *Server) AdminToken() string { return s.token }

func TestRandomTextIsFair(t *testing.T) {
	const n = 62 * 2000
	text, err := randomText(rand.Reader, n)
	if err != nil || len(text) != n {
		t.Fatalf("got %d characters, %v, want %v", len(text), err, n)
	}
	// The expected count is 2000 with a standard deviation of 44; a plain
	// modulo would give some letters 2422.
	for _, c := range alphabet {
		if k := strings.Count(text, string(c)); k < 1700 || k > 2300 {
			t.Errorf("%c occurs %d times, want about 2000", c, k)
		}
	}
	if _, err := randomText(strings.NewReader("short"), 64); err == nil {
		t.Error("too little randomness is no error")
	}
}

func TestSerialsArePositiveAndShort(t *testing.T) {
	for _, b := range []byte{0x00, 0xff} {
		ca := &authority{rand: bytes.NewReader(bytes.Repeat([]byte{b}, 16))}
		serial, err := ca.newSerial()
		if err != nil || serial.Sign() <= 0 || serial.BitLen() > 127 {
			t.Errorf("from %#x: got %v, %v, want serial.Sign() more than 0, serial.BitLen() 127 at most", b, serial, err)
		}
	}
}

func TestLimiterForgetsIdleSources(t *testing.T) {
	l := newLimiter()
	now := time.Unix(1e9, 0)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	l.allow(enrollLimit, a, now)
	l.allow(enrollLimit, b, now.Add(6*time.Second))
	l.sweep(now.Add(12 * time.Second))
	if _, kept := l.by[limitKey{enrollLimit, a}]; kept {
		t.Error("a source whose budget is full again is kept")
	}
	if _, kept := l.by[limitKey{enrollLimit, b}]; !kept {
		t.Error("a source whose budget is not full is forgotten")
	}
}

func TestSweepPurgesRowsBundlesAndSessions(t *testing.T) {
	now := time.Unix(1e9, 0)
	s, err := New(Options{Dir: t.TempDir(), Now: func() time.Time { return now }, RememberDenied: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := parseRequest([]byte(goodRequest))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"1", "2", "3"} {
		p.MachineID = strings.Repeat(m, 32)
		_, id, err := s.register(p)
		if err != nil {
			t.Fatal(err)
		}
		switch m {
		case "1":
			_, err = s.Approve(id)
		case "2":
			err = s.Deny(id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.access["x"], s.refresh["x"] = session{until: now}, session{until: now}
	now = now.Add(24 * time.Hour)
	if err := s.sweep(now); err != nil {
		t.Fatal(err)
	}
	if len(s.bundles) != 0 || len(s.access)+len(s.refresh) != 0 || s.pendingRows != 0 {
		t.Errorf("got %d bundles, %d sessions, %d rows, want 0, 0, 0", len(s.bundles), len(s.access)+len(s.refresh), s.pendingRows)
	}
	tx, err := s.store.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, b := range [][]byte{bPending, bPendingToken, bPendingMachine, bPendingExpiry, bDenied} {
		if k, _ := tx.Bucket(b).Cursor().First(); k != nil {
			t.Errorf("%s still holds %s", b, k)
		}
	}
}

func TestPendingRequestsAreBounded(t *testing.T) {
	s, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := parseRequest([]byte(goodRequest))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.register(p); err != nil {
		t.Fatal(err)
	}
	s.pendingRows = maxPending
	p.MachineID = strings.Repeat("1", 32)
	if _, _, err := s.register(p); !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
}

func TestURLsForHostsAndForTheCommandLine(t *testing.T) {
	for _, tc := range []struct {
		at        string
		advertise []string
		plain     bool
		own, host string
	}{
		{"127.0.0.1:8443", nil, false, "https://127.0.0.1:8443", "https://127.0.0.1:8443"},
		{"0.0.0.0:8443", nil, false, "https://127.0.0.1:8443", "https://127.0.0.1:8443"},
		{"[::]:8443", []string{"manager", "10.0.0.1"}, false, "https://127.0.0.1:8443", "https://manager:8443"},
		{"10.0.0.1:8443", []string{"2001:db8::1"}, false, "https://10.0.0.1:8443", "https://[2001:db8::1]:8443"},
		{"[::1]:8080", nil, true, "http://[::1]:8080", "http://[::1]:8080"},
	} {
		own, host := urls(netip.MustParseAddrPort(tc.at), tc.advertise, tc.plain)
		if own != tc.own || host != tc.host {
			t.Errorf("%s %v: %s and %s, want %s and %s", tc.at, tc.advertise, own, host, tc.own, tc.host)
		}
	}
}

func TestSystemShowsAStrangersTextSafely(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"Debian","version":"13"}`: "Debian 13",
		`{}`:                               "?",
		`[]`:                               "?",
		`{"name":"a\u001b[31m\tb\n"}`:      "a?[31m?b",
		`{"name":"` + strings.Repeat("x", 99) + `"}`: strings.Repeat("x", 32),
	} {
		if got := system(json.RawMessage(in)); strings.TrimRight(got, "?") != strings.TrimRight(want, "?") {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{}, {"frobnicate"}, {"serve"}, {"list"},
		{"serve", "--data", "x", "extra"},
		{"serve", "--data", "x", "--dialect", "3"},
		{"serve", "--data", "x", "--rate-limit", "maybe"},
		{"serve", "--data", "x", "--conflict", "404"},
		{"serve", "--data", "x", "--deny-style", "x"},
		{"serve", "--data", "x", "--newer-bundle", "x"},
		{"serve", "--data", "x", "--handout-seconds", "0"},
		{"serve", "--data", "x", "--pending-hours", "0"},
		{"serve", "--data", "x", "--pending-hours", "NaN"},
		{"serve", "--data", "x", "--pending-hours", "8760.1"},
		{"serve", "--data", "x", "--cert-days", "200000"},
		{"serve", "--data", "x", "--auto-approve", "web*"},
		{"serve", "--data", "x", "--auto-approve-fqdn", "web*"},
		{"serve", "--data", "x", "--advertise", "a b"},
		{"serve", "--data", "x", "--no-such-flag"},
		{"list", "--data", "x", "extra"},
		{"approve", "--data", "x"},
		{"approve", "--data", "x", "--all", "id"},
		{"deny", "--data", "x", "--fqdn", "a", "--machine-id", "b"},
		{"remove-host", "--data", "x"},
		{"revoke", "--data", "x", "a", "b"},
		{"issue-client", "--data", "x", "--cn", "a"},
		{"issue-client", "--data", "x", "--out", "y"},
	} {
		var out, errs bytes.Buffer
		code := Run(context.Background(), "test", args, nil, &out, &errs, func(string) string { return "" })
		if code != exitUsage || out.Len() != 0 || !strings.Contains(errs.String(), "linux_patch_manager: ") {
			t.Errorf(`%q: exit code %d, stdout %q, stderr %q, want code %v, out.Len() 0, "linux_patch_manager: " in it`, args, code, &out, &errs, exitUsage)
		}
	}
}

func TestHelpSaysThatThisIsNoProductionManager(t *testing.T) {
	all := [][]string{{"--help"}, {"serve", "--help"}}
	for verb := range verbs {
		all = append(all, []string{verb, "-h"})
	}
	for _, args := range all {
		var out bytes.Buffer
		code := Run(context.Background(), "test", args, nil, &out, io.Discard, func(string) string { return "" })
		if code != exitOK || !strings.Contains(out.String(), "NOT the production manager") {
			t.Errorf(`%q: exit code %d, %q, want code %v, "NOT the production manager" in it`, args, code, &out, exitOK)
		}
		if args[0] == "--help" {
			for verb := range verbs {
				if !strings.Contains(out.String(), "  "+verb) {
					t.Errorf("--help does not know %s, want %q in it", verb, "  "+verb)
				}
			}
		}
	}
}
