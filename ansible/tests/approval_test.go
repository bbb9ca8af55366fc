package tests

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// plant registers as a stranger would: plant MACHINE-ID FQDN ADDRESS. The
// machine-id "mine" is this machine's own.
func plant(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: plant MACHINE-ID FQDN ADDRESS")
	}
	if args[0] == "mine" {
		raw, err := os.ReadFile("/etc/machine-id")
		ts.Check(err)
		args[0] = strings.TrimSpace(string(raw))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(ts.Getenv("MANAGER_CA"))))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	body := fmt.Sprintf(`{"machine_id":%q,"fqdn":%q,"ip_address":%q,"os_details":{}}`, args[0], args[1], args[2])
	resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Post(ts.Getenv("MANAGER_URL")+"/api/v1/enroll", "application/json", strings.NewReader(body))
	ts.Check(err)
	resp.Body.Close()
	if (resp.StatusCode == http.StatusAccepted) == neg {
		ts.Fatalf("planting %s: %s", args[1], resp.Status)
	}
}

// administrator puts the manager's own account into the environment, as an
// execution environment would, and remembers its password for leaks.
func administrator(ts *testscript.TestScript, neg bool, args []string) {
	password := strings.TrimSpace(ts.ReadFile(ts.Getenv("MANAGER_DATA") + "/admin.token"))
	ts.Setenv("LINUX_PATCH_MANAGER_USERNAME", "admin")
	ts.Setenv("LINUX_PATCH_MANAGER_PASSWORD", password)
	f, err := os.OpenFile(ts.MkAbs(".secrets"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer f.Close()
	_, err = fmt.Fprintln(f, password)
	ts.Check(err)
}

// called checks how often the manager was called: called COUNT TEXT
func called(ts *testscript.TestScript, neg bool, args []string) {
	log := ts.ReadFile(ts.Getenv("MANAGER_DATA") + "/access.log")
	if got := fmt.Sprint(strings.Count(log, args[1])); (got == args[0]) == neg {
		ts.Fatalf("%s was called %s times, want %s:\n%s", args[1], got, args[0], log)
	}
}
