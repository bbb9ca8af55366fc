package manager_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/manager"
)

func TestAccessLogHasOneLinePerRequestAndNoToken(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	token := l.enroll(0)
	requests := []struct {
		method, path, logged string
		status               int
	}{
		{"GET", "/api/v1/enroll/status/" + token, "/api/v1/enroll/status/", 200},
		{"HEAD", "/api/v1/enroll/status/" + token, "/api/v1/enroll/status/", 405},
		{"POST", "/api/v1/enroll/status/" + token, "/api/v1/enroll/status/", 404},
		{"GET", "/api/v1/enroll/status//" + token, "/api/v1/enroll/status//", 307},
		{"GET", "/api/v1/enroll//status/" + token, "/api/v1/enroll//status/", 307},
		{"GET", "/api/v1/enroll/status%2F" + token, "/api/v1/enroll/status/", 404},
		{"GET", "/api/v1/enroll/status/" + token + "/x", "/api/v1/enroll/status/", 404},
		{"GET", "/other/" + token, "/other/", 404},
		{"GET", "/other?token=" + token, "/other", 404},
		{"GET", "/api/v1/enroll/STATUS/short", "/api/v1/enroll/STATUS/", 404},
		{"GET", "/a%0ab", "/a\nb", 404},
		{"GET", "/", "/", 200},
	}
	for _, r := range requests {
		l.do(l.client, r.method, r.path, "")
	}
	text := l.access.String()
	if strings.Contains(text, token) || strings.Contains(text, "short") {
		t.Error("a token is in the access log")
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != len(requests)+1 {
		t.Fatalf("got %d lines for %d requests, want %v", len(lines), len(requests)+1, len(requests)+1)
	}
	for i, r := range requests {
		var got manager.AccessLine
		if err := json.Unmarshal([]byte(lines[i+1]), &got); err != nil {
			t.Fatalf("line %d: got %v, want no error", i+1, err)
		}
		if got.Method != r.method || got.Status != r.status || !strings.HasPrefix(got.Path, r.logged) ||
			got.Source.String() != "127.0.0.1" || !got.Time.Equal(l.clock.Now()) {
			t.Errorf("%s %.30s: logged %+v, want status %d", r.method, r.path, got, r.status)
		}
	}
}

// TestSecretsAreOnlyWhereTheyBelong looks for every secret of a whole life in
// every file, log line and answer that it does not belong to.
func TestSecretsAreOnlyWhereTheyBelong(t *testing.T) {
	dir := t.TempDir()
	l := newLab(t, manager.Options{Dir: dir, NoRateLimit: true})
	tokens := []string{l.enroll(0), l.enroll(1)}
	l.approve(0)
	bundle := l.poll(tokens[0]).json(t)
	auth := l.login()
	for _, path := range []string{"/api/v1/admin/enrollments", "/api/v1/admin/hosts"} {
		if r := l.do(l.client, "GET", path, "", "Authorization", auth); strings.Contains(r.body, tokens[1]) {
			t.Errorf("%s answers with a token", path)
		}
	}
	l.stop()
	key, _ := bundle["server_key"].(string)
	keyBody := strings.Split(key, "\n")[1]
	secrets := map[string]string{
		"polling token of a host": tokens[0], "polling token that waits": tokens[1],
		"host key": keyBody, "admin token": l.s.AdminToken(), "session": strings.TrimPrefix(auth, "Bearer "),
	}
	where := map[string][]byte{"events": []byte(l.events.String()), "access log": []byte(l.access.String())}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		where[f.Name()] = raw
	}
	for place, raw := range where {
		for name, secret := range secrets {
			if secret == "" {
				t.Fatalf("no %s", name)
			}
			if bytes.Contains(raw, []byte(secret)) != (name == "admin token" && place == "admin.token") {
				t.Errorf("%s in %s", name, place)
			}
		}
	}
}
