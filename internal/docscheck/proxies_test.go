package docscheck_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// frames are what a configuration has around the guide's block, as Debian's
// packages have it. DIR is the proxy's directory.
var frames = map[string]struct {
	before, after string
	command       []string
}{
	"nginx": {
		before: "daemon off;\nmaster_process off;\npid DIR/pid;\nerror_log DIR/error.log;\nevents {}\nhttp {\naccess_log DIR/access.log;\n" +
			"client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;\n",
		after: "}\n", command: []string{"nginx", "-e", "DIR/error.log", "-c", "DIR/conf"},
	},
	"haproxy": {
		before:  "global\n    log stdout format raw local0\ndefaults\n    log global\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n",
		command: []string{"haproxy", "-db", "-f", "DIR/conf"},
	},
	"apache": {
		before: "ServerRoot DIR\nServerName localhost\nPidFile DIR/pid\nDefaultRuntimeDir DIR\nMutex posixsem\nErrorLog DIR/error.log\n" +
			"Define APACHE_LOG_DIR DIR\nListen 127.0.0.1:443\nLogFormat \"%h %l %u %t \\\"%r\\\" %>s\" combined\n" +
			"LoadModule mpm_event_module M/mod_mpm_event.so\nLoadModule authz_core_module M/mod_authz_core.so\nLoadModule ssl_module M/mod_ssl.so\n" +
			"LoadModule proxy_module M/mod_proxy.so\nLoadModule proxy_http_module M/mod_proxy_http.so\nLoadModule headers_module M/mod_headers.so\n" +
			"LoadModule setenvif_module M/mod_setenvif.so\n",
		command: []string{"apache2", "-X", "-f", "DIR/conf"},
	},
}

// behindProxy is a manager with a proxy in front, run as the guide has it.
type behindProxy struct {
	t              *testing.T
	dir            string
	proxy, manager string // addresses
	running        *exec.Cmd
	proxyCA        string
}

// freeAddress is below the ports of which the kernel gives one to anyone who asks
// for any: it stays free until it is used, and while its server is away.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("got no free address, want one")
	return ""
}

func (b *behindProxy) path(name string) string { return filepath.Join(b.dir, name) }

func (b *behindProxy) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// reachable waits until something listens.
func (b *behindProxy) reachable(address string) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("got %v, want something that listens", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *behindProxy) startManager() {
	b.t.Helper()
	b.running = exec.Command(bin.Path("linux_patch_manager"), "serve", "--data", b.path("data"), "--listen", b.manager,
		"--advertise", "127.0.0.1,localhost,manager.example.com")
	if err := b.running.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.reachable(b.manager)
	// Its verbs find it by this file.
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(b.path("data/url")); err == nil {
			return
		}
	}
	b.t.Fatal("got no url file, want one")
}

func (b *behindProxy) stopManager() {
	_ = b.running.Process.Signal(syscall.SIGTERM)
	_ = b.running.Wait()
}

func (b *behindProxy) approve() {
	b.t.Helper()
	if out, err := exec.CommandContext(b.t.Context(), bin.Path("linux_patch_manager"), "approve", "--data", b.path("data"), "--all").CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
}

// startProxy runs a block of the guide, at other addresses and paths.
func (b *behindProxy) startProxy(kind, block string) {
	b.t.Helper()
	ca := pkitest.NewCA(b.t)
	leaf := ca.Issue(b.t, pkitest.DNS("manager.example.com"), pkitest.IP("127.0.0.1"))
	b.proxyCA = ca.PEM()
	b.write("manager.example.com.pem", leaf.PEM()+leaf.KeyPEM(b.t))
	b.write("manager.example.com.key", leaf.KeyPEM(b.t))
	_, port, _ := net.SplitHostPort(b.manager)
	_, own, _ := net.SplitHostPort(b.proxy)
	frame := frames[kind]
	conf := strings.NewReplacer(
		"DIR", b.dir, " M/", " /usr/lib/apache2/modules/", "/etc/ssl/manager-ca.pem", b.path("data/ca.pem"), "/etc/ssl/", b.dir+"/",
		"127.0.0.1:8443", b.manager, "localhost:8443", "localhost:"+port, "127.0.0.1:443", b.proxy, "*:443", "*:"+own, "bind :443", "bind "+b.proxy,
		"listen 443", "listen "+b.proxy,
	).Replace(frame.before + block + frame.after)
	b.write("conf", conf)
	cmd := exec.Command(frame.command[0])
	for _, arg := range frame.command[1:] {
		cmd.Args = append(cmd.Args, strings.ReplaceAll(arg, "DIR", b.dir))
	}
	out, err := os.Create(b.path("output"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	b.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	b.reachable(b.proxy)
}

// holders are the files of the proxy that hold the text.
func (b *behindProxy) holders(text string) (found []string) {
	b.t.Helper()
	_ = filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == "data" {
			return fs.SkipDir
		}
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(text)) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// polls asks for an unknown token from an address, and says what comes.
func (b *behindProxy) polls(from, forwardedFor string) int {
	b.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "https://"+b.proxy+"/api/v1/enroll/status/"+strings.Repeat("A", 64), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if forwardedFor != "" {
		req.Header.Set("X-Forwarded-For", forwardedFor)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestReverseProxiesOfTheGuide enrolls a host through each of them.
func TestReverseProxiesOfTheGuide(t *testing.T) {
	guide, seen := documents(t)["docs/DEPLOYMENT_GUIDE.md"], 0
	for _, f := range guide.fences {
		frame, known := frames[f.info]
		if !known {
			continue
		}
		seen++
		t.Run(f.info, func(t *testing.T) {
			if _, err := exec.LookPath(frame.command[0]); err != nil {
				t.Skipf("no %s: %v; ansible/setup/missing names its package", f.info, err)
			}
			t.Parallel()
			b := &behindProxy{t: t, dir: t.TempDir(), proxy: freeAddress(t), manager: freeAddress(t)}
			b.startManager()
			t.Cleanup(b.stopManager)
			b.startProxy(f.info, f.body)
			b.enroll()
		})
	}
	if seen != len(frames) {
		t.Errorf("got %d blocks in the guide, want %d", seen, len(frames))
	}
}

func (b *behindProxy) enroll() {
	b.t.Helper()
	h := newHost(b.t)
	h.write("/proxy-ca.pem", b.proxyCA, 0o644)
	h.options["manager_url"], h.options["manager_ca_path"], h.options["manager_ip"] = "https://"+b.proxy, h.path("/proxy-ca.pem"), "192.0.2.10"
	must := func(state string) {
		b.t.Helper()
		if o := h.run(context.Background(), nil); o.State != state {
			b.t.Fatalf("got %+v (%+v), want %s", o, o.Error, state)
		}
	}
	must("pending")
	token := h.token()
	// While the manager is down the request goes on, and the proxy says nothing.
	b.stopManager()
	if o := h.run(context.Background(), nil); o.Error == nil && o.State != "pending" || o.Error != nil && o.Error.Code != "ENROLL_MANAGER_ERROR" && o.Error.Code != "ENROLL_UNREACHABLE" {
		b.t.Errorf("got %+v (%+v), want a request that goes on", o, o.Error)
	}
	b.startManager()
	b.approve()
	must("enrolled")
	if got := h.read("/etc/linux_patch_api/whitelist.yaml"); !strings.Contains(got, "192.0.2.10") || strings.Contains(got, "127.0.0.1") {
		b.t.Errorf("got the whitelist %s, want the manager's own address alone", got)
	}
	// Each host has a limit of its own, and none chooses another's.
	var codes []int
	for n := range 5 {
		codes = append(codes, b.polls("127.0.0.1", fmt.Sprintf("192.0.2.%d", n)))
	}
	if codes[4] != http.StatusTooManyRequests {
		b.t.Errorf("got %v, want 429 at last, whatever address the host claims", codes)
	}
	if got := b.polls("127.0.0.2", ""); got != http.StatusOK {
		b.t.Errorf("got %d for another host, want 200", got)
	}
	for what, text := range map[string]string{"token": token, "unknown token": strings.Repeat("A", 64), "private key": h.keyLine()} {
		if found := b.holders(text); len(found) > 0 {
			b.t.Errorf("got the %s in %v, want it nowhere", what, found)
		}
	}
	if found := b.holders("/api/v1/enroll "); len(found) == 0 {
		b.t.Error("got no log of the registration, want one: the search finds what is logged")
	}
}

func (h *host) read(production string) string {
	h.t.Helper()
	raw, err := os.ReadFile(h.path(production))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(raw)
}

func (h *host) token() string {
	h.t.Helper()
	var record struct{ Token string }
	if err := json.Unmarshal([]byte(h.read("/var/lib/linux_patch_enroll/token")), &record); err != nil || record.Token == "" {
		h.t.Fatalf("got %v, want a token", err)
	}
	return record.Token
}

// keyLine is one of the lines of the host's key that tell it from others.
func (h *host) keyLine() string {
	h.t.Helper()
	return strings.Split(h.read("/etc/linux_patch_api/certs/server.key.pem"), "\n")[2]
}
