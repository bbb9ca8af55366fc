package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// largeHost is a built agent that serves files of some size.
type largeHost struct {
	cmd     *exec.Cmd
	dir     string
	ca      *pkitest.CA
	address string
	client  *tls.Config
}

// startLarge starts the agent and waits until it listens, with a list of so many
// revoked certificates, which is past half its life, and a whitelist of so many
// entries.
func startLarge(t testing.TB, revoked, entries int, flags ...string) *largeHost {
	t.Helper()
	dir := t.TempDir()
	ca := pkitest.NewCA(t)
	bundle := ca.Issue(t, pkitest.IP("127.0.0.1")).Bundle(t)
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ca.pem", bundle.CACrt)
	write("server.pem", bundle.ServerCrt)
	write("server.key", bundle.ServerKey)
	if revoked > 0 {
		now := time.Now()
		write("crl.pem", ca.Enlarge(t, ca.CRLAt(t, now.Add(-14*time.Hour), now.Add(10*time.Hour)), revoked))
	}
	var whitelist strings.Builder
	whitelist.WriteString("entries:\n")
	for i := range entries - 1 {
		fmt.Fprintf(&whitelist, "  - 10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	write("whitelist.yaml", whitelist.String()+"  - 127.0.0.1\n")
	write("config.yaml", fmt.Sprintf("tls: {ca_cert: %[1]s/ca.pem, server_cert: %[1]s/server.pem, server_key: %[1]s/server.key, crl_path: %[1]s/crl.pem}\n"+
		"whitelist: {path: %[1]s/whitelist.yaml}\nlogging: {file_path: %[1]s/audit.log}\n", dir))
	h := &largeHost{dir: dir, ca: ca, client: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: ca.Pool(), ServerName: "127.0.0.1",
		Certificates: []tls.Certificate{ca.Issue(t, pkitest.EKU(x509.ExtKeyUsageClientAuth)).TLS()},
	}}
	h.cmd = exec.CommandContext(t.Context(), bin.Path("linux_patch_api"), append(flags, "--config", filepath.Join(dir, "config.yaml"),
		"--state-dir", filepath.Join(dir, "state"), "--status-file", filepath.Join(dir, "status.json"), "--listen", "127.0.0.1:0")...)
	out := &output{}
	h.cmd.Stderr = out
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.cmd.Process.Kill(); _ = h.cmd.Wait() })
	if !eventually(func() bool {
		var status struct{ State, Listen string }
		raw, err := os.ReadFile(filepath.Join(dir, "status.json"))
		if err != nil || json.Unmarshal(raw, &status) != nil || status.State != "listening" {
			return false
		}
		h.address = status.Listen
		return true
	}) {
		t.Fatalf("the agent does not listen: %s", out)
	}
	return h
}

// ask makes one connection and one request, and says how long that took.
func (h *largeHost) ask(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	conn, err := net.DialTimeout("tcp", h.address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	// No connection is left to wait: thousands are made.
	defer func() { _ = conn.(*net.TCPConn).SetLinger(0); _ = conn.Close() }()
	secure := tls.Client(conn, h.client)
	answer := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.WriteString(secure, "GET /health HTTP/1.1\r\nHost: agent\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(secure, answer); err != nil || !bytes.Equal(answer, []byte("HTTP/1.1 200")) {
		t.Fatalf("got %q, %v", answer, err)
	}
	return time.Since(begin)
}

// memory is a line of /proc/PID/status in MB: VmHWM is the peak, VmRSS is now.
func (h *largeHost) memory(t testing.TB, line string) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(line + `:\s+(\d+) kB`).FindSubmatch(raw)
	if found == nil {
		t.Fatalf("no %s in %s", line, raw)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return float64(kilobytes) / 1024
}

// TestAMillionRevokedCertificatesFitInto120MB, while they are loaded too, and
// while the manager's next list replaces them.
func TestAMillionRevokedCertificatesFitInto120MB(t *testing.T) {
	next := make(chan string, 1)
	manager := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case list := <-next:
			_, _ = io.WriteString(w, list)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(manager.Close)
	h := startLarge(t, 1_000_000, 1, "--enroll", manager.URL)
	h.fits(t, "loaded")
	now := time.Now()
	next <- h.ca.Enlarge(t, h.ca.SignCRL(t, &x509.RevocationList{Number: big.NewInt(2), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 1)}), 1_000_001)
	h.serves(t, "2")
	h.fits(t, "refreshed")
}

// TestARefreshAndAReloadFitInto120MB: while the manager's list is on its way,
// another is put on disk. It is loaded at once, and not beside the other.
func TestARefreshAndAReloadFitInto120MB(t *testing.T) {
	next, held, ended := make(chan string, 1), make(chan struct{}), make(chan struct{})
	manager := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case list := <-next:
			defer close(ended)
			_, _ = io.WriteString(w, list[:len(list)-200])
			w.(http.Flusher).Flush()
			close(held)
			<-r.Context().Done()
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(manager.Close)
	h := startLarge(t, 1_000_000, 1, "--enroll", manager.URL)
	now := time.Now()
	list := func(number int64, begin time.Time) string {
		return h.ca.Enlarge(t, h.ca.SignCRL(t, &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: begin, NextUpdate: begin.AddDate(0, 0, 1)}), 1_000_000+int(number))
	}
	onDisk := list(2, now.Add(-time.Hour))
	next <- list(3, now)
	<-held
	staged := filepath.Join(h.dir, "staged")
	if err := os.WriteFile(staged, []byte(onDisk), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(staged, filepath.Join(h.dir, "crl.pem")); err != nil {
		t.Fatal(err)
	}
	h.serves(t, "2")
	<-ended
	h.fits(t, "loaded in place of a refresh")
}

// serves waits until the list of that number is in force.
func (h *largeHost) serves(t *testing.T, number string) {
	t.Helper()
	if !eventually(func() bool {
		var status struct{ CRL struct{ Number string } }
		raw, err := os.ReadFile(filepath.Join(h.dir, "status.json"))
		return err == nil && json.Unmarshal(raw, &status) == nil && status.CRL.Number == number
	}) {
		t.Fatalf("the CRL %s is not in force: %s", number, h.cmd.Stderr)
	}
}

// fits asks, and holds the memory against its bar.
func (h *largeHost) fits(t *testing.T, when string) {
	t.Helper()
	for range 20 {
		h.ask(t)
	}
	peak, now := h.memory(t, "VmHWM"), h.memory(t, "VmRSS")
	t.Logf("%s: peak %.0f MB, now %.0f MB", when, peak, now)
	if peak > 120 {
		t.Errorf("%s: got a peak of %.0f MB, want 120 at most", when, peak)
	}
}

// BenchmarkLarge asks three agents in turn, so that what else the machine does
// is in each of their times.
func BenchmarkLarge(b *testing.B) {
	hosts := map[string]*largeHost{"small": startLarge(b, 0, 1), "revoked": startLarge(b, 1_000_000, 1), "entries": startLarge(b, 0, 100_000)}
	times := map[string][]time.Duration{}
	for b.Loop() {
		for _, name := range []string{"small", "revoked", "entries"} {
			times[name] = append(times[name], hosts[name].ask(b))
		}
	}
	for name, h := range hosts {
		slices.Sort(times[name])
		b.ReportMetric(float64(times[name][len(times[name])/2].Microseconds()), name+"-us")
		b.ReportMetric(h.memory(b, "VmHWM"), name+"-peak-MB")
		b.ReportMetric(h.memory(b, "VmRSS"), name+"-MB")
	}
}
