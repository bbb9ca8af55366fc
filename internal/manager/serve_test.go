package manager_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/manager"
)

// serve runs the program's verb until stop is called, and returns the line
// that it prints once it listens; what it writes to stderr is in errs.
func serve(t *testing.T, args ...string) (line string, errs *buffer, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	errs = &buffer{}
	code := make(chan int, 1)
	go func() {
		code <- manager.Run(ctx, "test", append([]string{"serve"}, args...), nil, in, errs, func(string) string { return "" })
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("no line: got %v, %s, want no error", err, errs)
	}
	return line, errs, func() int {
		cancel()
		return <-code
	}
}

func TestServeSaysWhereItListens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	urlFile := filepath.Join(t.TempDir(), "url")
	line, _, stop := serve(t, "--data", dir, "--listen", "127.0.0.1:0", "--advertise", "manager.example.com,192.0.2.1", "--url-file", urlFile)
	m := regexp.MustCompile(`^listening on (https://manager\.example\.com:\d+), CA at (\S+), SHA-256 ([0-9a-f]{64})\n$`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("%q", line)
	}
	raw, err := os.ReadFile(m[2])
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(certOf(t, string(raw)).Raw); hex.EncodeToString(sum[:]) != m[3] {
		t.Error("not the fingerprint of the CA")
	}
	for path, prefix := range map[string]string{urlFile: m[1], filepath.Join(dir, "url"): "https://127.0.0.1:"} {
		if raw, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(raw), prefix) {
			t.Errorf("%s: got %q, %v, want %q first", path, raw, err, prefix)
		}
	}
	raw, err = os.ReadFile(filepath.Join(dir, "https.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"manager.example.com", "192.0.2.1", "127.0.0.1", "::1", "localhost"} {
		if err := certOf(t, string(raw)).VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestServePlainHTTPOnLoopbackAndLogToStderr(t *testing.T) {
	dir := t.TempDir()
	line, errs, stop := serve(t, "--data", dir, "--listen", "127.0.0.1:0", "--tls", "off", "--access-log", "stderr")
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	resp, err := http.Get(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("got %d, %v, want %v", resp.StatusCode, err, http.StatusOK)
	}
	if !strings.Contains(errs.String(), `"method":"GET","path":"/","status":200,"source":"127.0.0.1"}`) {
		t.Errorf(`no access line on stderr: got %s, want "method":"GET","path":"/","status":200,"source":"127.0.0.1"} in it`, errs)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "access.log")); !os.IsNotExist(err) {
		t.Errorf("access.log beside stderr: %v", err)
	}
}
