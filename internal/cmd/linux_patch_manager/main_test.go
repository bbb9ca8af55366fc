package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"linux_patch_manager": main})
}

// TestScripts runs the program as a process of its own, against real sockets
// and files.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfile": waitFile,
			"register": register,
			"poll":     poll,
			"filemode": fileMode,
			"count":    count,
			"sigterm":  sigTerm,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// waitFile waits until another process has written a file.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfile FILE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(ts.MkAbs(args[0])); !errors.Is(err, fs.ErrNotExist) {
			ts.Check(err)
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s is not there after a minute", args[0])
		case <-tick.C:
		}
	}
}

// ask sends one request to the manager whose URL is in the file url, trusting
// the CA in data/ca.pem.
func ask(ts *testscript.TestScript, method, path, body string) (int, []byte) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile("data/ca.pem")))
	req, err := http.NewRequest(method, strings.TrimSpace(ts.ReadFile("url"))+path, strings.NewReader(body))
	ts.Check(err)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 30 * time.Second}).Do(req)
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	ts.Check(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	ts.Check(err)
	return resp.StatusCode, raw
}

// register enrolls a host: register CODE MACHINE-ID FQDN IP TOKENFILE.
func register(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: register CODE MACHINE-ID FQDN IP TOKENFILE")
	}
	body := fmt.Sprintf(`{"machine_id":%q,"fqdn":%q,"ip_address":%q,"os_details":{"name":"Debian","version":"13"}}`, args[1], args[2], args[3])
	code, raw := ask(ts, "POST", "/api/v1/enroll", body)
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("registration: %d, want %s", code, args[0])
	}
	if code != http.StatusAccepted {
		return
	}
	var answer struct {
		Token string `json:"polling_token"`
	}
	ts.Check(json.Unmarshal(raw, &answer))
	ts.Check(os.WriteFile(ts.MkAbs(args[4]), []byte(answer.Token), 0o600))
}

// poll asks for a state: poll CODE TOKENFILE TEXT, where TEXT has to be in the
// answer.
func poll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: poll CODE TOKENFILE TEXT")
	}
	code, raw := ask(ts, "GET", "/api/v1/enroll/status/"+ts.ReadFile(args[1]), "")
	if strconv.Itoa(code) != args[0] || !bytes.Contains(raw, []byte(args[2])) {
		ts.Fatalf("poll: %d, want %s, or %q is not in the answer", code, args[0], args[2])
	}
}

func fileMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: filemode MODE FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// count counts lines of a file with a text in them: count N TEXT FILE.
func count(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: count N TEXT FILE")
	}
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[2])) {
		if strings.Contains(line, args[1]) {
			n++
		}
	}
	if strconv.Itoa(n) != args[0] {
		ts.Fatalf("%d lines of %s have %q, want %s", n, args[2], args[1], args[0])
	}
}

// sigTerm sends SIGTERM, which the script's own kill cannot, to the process
// that was started last.
func sigTerm(ts *testscript.TestScript, neg bool, args []string) {
	running := ts.BackgroundCmds()
	if neg || len(args) != 0 || len(running) == 0 {
		ts.Fatalf("usage: sigterm, while a process runs in the background")
	}
	ts.Check(running[len(running)-1].Process.Signal(syscall.SIGTERM))
}
