package tests

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// running is the key of the function that stops a script's manager.
type running struct{}

// manager starts a reference manager for the rest of the script, and sets
// MANAGER_URL, MANAGER_CA and MANAGER_DATA: manager [FLAG...]. What runs already
// is stopped before. With ! it only stops.
func manager(ts *testscript.TestScript, neg bool, args []string) {
	data, url := ts.MkAbs("manager"), ts.MkAbs("manager-url")
	stop := ts.Value(running{}).(*func())
	(*stop)()
	*stop = func() {}
	if neg {
		return
	}
	ts.Check(os.RemoveAll(url))
	cmd := exec.Command(filepath.Join(programs, "linux_patch_manager"),
		append([]string{"serve", "--data", data, "--url-file", url}, args...)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	*stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	ts.Defer(*stop)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if content, err := os.ReadFile(url); err == nil && len(content) > 0 {
			ts.Setenv("MANAGER_URL", strings.TrimSpace(string(content)))
			break
		}
		if time.Now().After(end) {
			ts.Fatalf("the manager did not start")
		}
	}
	ts.Setenv("MANAGER_DATA", data)
	ts.Setenv("MANAGER_CA", filepath.Join(data, "ca.pem"))
}

// requests checks how often hosts have asked the manager: requests COUNT
func requests(ts *testscript.TestScript, neg bool, args []string) {
	log := ts.ReadFile(filepath.Join(ts.Getenv("MANAGER_DATA"), "access.log"))
	if got := strconv.Itoa(strings.Count(log, `"path":"/api/v1/enroll`)); got != args[0] {
		ts.Fatalf("hosts have made %s requests, not %s:\n%s", got, args[0], log)
	}
}

// remember notes the secrets that the host holds now, for leaks.
func remember(ts *testscript.TestScript, neg bool, args []string) {
	host := ts.Getenv("HOST")
	var secrets []string
	if raw, err := os.ReadFile(filepath.Join(host, "state", "token")); err == nil {
		var record struct{ Token string }
		ts.Check(json.Unmarshal(raw, &record))
		secrets = append(secrets, record.Token)
	}
	if raw, err := os.ReadFile(filepath.Join(host, "certs", "server.key.pem")); err == nil {
		for line := range strings.Lines(string(raw)) {
			if !strings.HasPrefix(line, "-----") {
				secrets = append(secrets, strings.TrimSpace(line))
			}
		}
	}
	if len(secrets) == 0 {
		ts.Fatalf("there is no secret to remember")
	}
	f, err := os.OpenFile(ts.MkAbs(".secrets"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer f.Close()
	for _, s := range secrets {
		if len(s) < 12 {
			ts.Fatalf("%d letters are no secret to look for", len(s))
		}
		_, err := fmt.Fprintln(f, s)
		ts.Check(err)
	}
}

// leaks looks for the remembered secrets, and for the word CANARY: ! leaks FILE...
func leaks(ts *testscript.TestScript, neg bool, args []string) {
	needles := append(strings.Fields(ts.ReadFile(".secrets")), "CANARY")
	for _, file := range args {
		text := ts.ReadFile(file)
		if text == "" {
			ts.Fatalf("%s is empty: nothing was looked at", file)
		}
		for i, needle := range needles {
			if strings.Contains(text, needle) == neg {
				ts.Fatalf("%s: secret %d found: %t", file, i, neg)
			}
		}
	}
}

// snapshot notes all that is below a directory, or compares it with that:
// snapshot take|same DIR
func snapshot(ts *testscript.TestScript, neg bool, args []string) {
	var tree strings.Builder
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&tree, "%s %s %d", path, info.Mode(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&tree, " %x", sha256.Sum256(content))
		}
		tree.WriteByte('\n')
		return nil
	}))
	noted := ts.MkAbs(".snapshot")
	if args[0] == "take" {
		ts.Check(os.WriteFile(noted, []byte(tree.String()), 0o600))
		return
	}
	if before := ts.ReadFile(noted); before != tree.String() {
		ts.Fatalf("something changed.\nbefore:\n%safter:\n%s", before, tree.String())
	}
}

// fake installs the collection once more, with a script in the place of its
// program, for the rest of the testscript: fake FILE
func fake(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs("fake")
	ts.Check(os.CopyFS(dir, os.DirFS(collections)))
	artifacts := filepath.Join(dir, "ansible_collections/linux_patch/api/artifacts")
	found, err := filepath.Glob(filepath.Join(artifacts, "*/enrollment.gz"))
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("the collection has no program")
	}
	content := []byte(ts.ReadFile(args[0]))
	notes := map[string]any{}
	for _, program := range found {
		ts.Check(os.WriteFile(program, compressed(ts, content), 0o644))
		arch := filepath.Base(filepath.Dir(program))
		notes[arch+"/enrollment"] = map[string]any{"size": len(content), "sha256": fmt.Sprintf("%x", sha256.Sum256(content))}
	}
	raw, err := json.Marshal(notes)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(artifacts, "programs.json"), raw, 0o644))
	ownCache(ts, filepath.Join(dir, "ansible_collections/linux_patch/api/plugins/plugin_utils/cached.py"))
	ts.Setenv("ANSIBLE_COLLECTIONS_PATH", dir)
}

// ownCache gives a collection with another program a cache of its own. Scripts that
// run side by side are one host, whose cache keeps one program: another script's
// would take the place of this one between its start and its first line, which the
// shell reads by name.
func ownCache(ts *testscript.TestScript, cached string) {
	before := ts.ReadFile(cached)
	after := strings.Replace(before, fmt.Sprintf("ROOTS_CACHE = %q", rootsCache),
		fmt.Sprintf("ROOTS_CACHE = %q", rootsCache+"/"+filepath.Base(ts.Getenv("WORK"))), 1)
	if after == before {
		ts.Fatalf("%s does not name the cache", cached)
	}
	ts.Check(os.WriteFile(cached, []byte(after), 0o644))
}

func compressed(ts *testscript.TestScript, content []byte) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(content)
	ts.Check(err)
	ts.Check(w.Close())
	return packed.Bytes()
}
