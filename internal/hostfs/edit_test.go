package hostfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("HOSTFS_TEST_EDIT"); path != "" {
		os.Exit(editProcess(path, os.Getenv("HOSTFS_TEST_LINE")))
	}
	os.Exit(m.Run())
}

// editProcess adds one line to a file, from a process of its own.
func editProcess(path, line string) int {
	root, err := OpenRoot("/")
	if err == nil {
		_, err = New(root, options()).Edit(context.Background(), path, EditOptions{LockTimeout: time.Minute}, adds(line))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func adds(line string) func([]byte, bool) ([]byte, error) {
	return func(old []byte, _ bool) ([]byte, error) {
		if bytes.Contains(append([]byte("\n"), old...), []byte("\n"+line+"\n")) {
			return old, nil
		}
		return append(old, line+"\n"...), nil
	}
}

func TestEdit(t *testing.T) {
	s := newSandbox(t)
	h, ctx := s.host(), context.Background()
	o := EditOptions{Create: Attributes{0o644, Keep, Keep}, Backup: true}

	made, err := h.Edit(ctx, "/f", o, adds("a"))
	if err != nil || !made.Changed || made.BackupFile != "" || string(made.After) != "a\n" || made.Before != nil {
		t.Fatalf("a missing file: %+v, %v", made, err)
	}
	if err := os.Chmod(s.out("/f"), 0o640); err != nil {
		t.Fatal(err)
	}
	changed, err := h.Edit(ctx, "/f", o, adds("b"))
	if err != nil || !changed.Changed || changed.BackupFile != "/f"+stamp || string(changed.Before) != "a\n" || string(changed.After) != "a\nb\n" {
		t.Fatalf("an existing file: %+v, %v", changed, err)
	}
	want := map[string]string{"/f": "0640 a\nb\n", "/f" + stamp: "0640 a\n", "/f.lock": "0600 "}
	if err := sameTree(s.tree(), want); err != nil {
		t.Error(err)
	}
	before, err := os.Stat(s.out("/f"))
	if err != nil {
		t.Fatal(err)
	}
	same, err := h.Edit(ctx, "/f", o, adds("b"))
	if err != nil || same.Changed || same.BackupFile != "" {
		t.Errorf("no change: %+v, %v", same, err)
	}
	if after, err := os.Stat(s.out("/f")); err != nil || !os.SameFile(before, after) {
		t.Errorf("an edit that changes nothing replaced the file: %v", err)
	}
	if empty, err := h.Edit(ctx, "/none", o, func([]byte, bool) ([]byte, error) { return nil, nil }); err != nil || empty.Changed {
		t.Errorf("nothing into a missing file: %+v, %v", empty, err)
	}
	refusal := contract.Errorf(contract.CodeWhitelist, "not one")
	if _, err := h.Edit(ctx, "/f", o, func([]byte, bool) ([]byte, error) { return nil, refusal }); !errors.Is(err, refusal) {
		t.Errorf("the edit's own error came back as %v, want %v", err, refusal)
	}
	delete(want, "/none")
	want["/none.lock"] = "0600 "
	if err := sameTree(s.tree(), want); err != nil {
		t.Error(err)
	}
}

// A writer who takes no lock comes in between reading and renaming.
func TestEditNoticesOthers(t *testing.T) {
	s := newSandbox(t)
	s.write("/f", "1\n", 0o644)
	calls := 0
	result, err := s.host().Edit(context.Background(), "/f", EditOptions{Backup: true}, func(old []byte, _ bool) ([]byte, error) {
		if calls++; calls == 1 {
			s.write("/f", "1\n2\n", 0o644)
		}
		return append(old, "mine\n"...), nil
	})
	if err != nil || calls != 2 || string(result.Before) != "1\n2\n" {
		t.Errorf(`got %d calls, %+v, %v, want calls 2, string(result.Before) "1\n2\n"`, calls, result, err)
	}
	want := map[string]string{"/f": "0644 1\n2\nmine\n", "/f" + stamp: "0644 1\n2\n", "/f.lock": "0600 "}
	if err := sameTree(s.tree(), want); err != nil {
		t.Error(err)
	}
	// A new mode is a change too, and so is another hand that never rests.
	_, err = s.host().Edit(context.Background(), "/f", EditOptions{}, func(old []byte, _ bool) ([]byte, error) {
		info, err := os.Stat(s.out("/f"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(s.out("/f"), info.Mode().Perm()^0o004); err != nil {
			t.Fatal(err)
		}
		return append(old, "mine\n"...), nil
	})
	if !errors.Is(err, errMoved) || contract.CodeOf(err) != contract.CodeLocked {
		t.Errorf("a file that never rests: %v", err)
	}
	if err := sameTree(s.tree(), want); err != nil {
		t.Error(err)
	}
}

// Another run sweeps the directory while an edit is under way.
func TestEditSurvivesSweep(t *testing.T) {
	s := newSandbox(t)
	s.write("/f", "1\n", 0o644)
	swept := 0
	f := &faultfs.Fs{}
	f.Before = func(op faultfs.Op) {
		if op == renameOf("/f") && swept == 0 {
			var err error
			if swept, err = s.host().SweepTemps([]string{"/"}, nil); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := s.faulty(f).Edit(context.Background(), "/f", EditOptions{}, adds("mine"))
	if err != nil || swept != 1 || s.read("/f") != "1\nmine\n" {
		t.Errorf(`swept %d, %q, %v, want swept 1, s.read("/f") "1\nmine\n"`, swept, s.read("/f"), err)
	}
}

func TestEditFaults(t *testing.T) {
	setting := func() (sandbox, map[string]string) {
		s := newSandbox(t)
		s.write("/f", "1\n", 0o640)
		s.write("/f.lock", "", 0o600)
		return s, s.tree()
	}
	o := EditOptions{Backup: true}
	edited := map[string]string{"/f": "0640 1\nmine\n", "/f" + stamp: "0640 1\n", "/f.lock": "0600 "}
	inPlace := 0
	eachFault(t, func(f *faultfs.Fs) {
		s, _ := setting()
		if _, err := s.faulty(f).Edit(context.Background(), "/f", o, adds("mine")); err != nil {
			t.Fatal(err)
		}
		if err := sameTree(s.tree(), edited); err != nil {
			t.Fatal(err)
		}
	}, func(name string, fault *faultfs.Fs) {
		s, old := setting()
		result, err := s.faulty(fault).Edit(context.Background(), "/f", o, adds("mine"))
		tree := s.tree()
		switch {
		case err == nil || result.Changed:
			inPlace++
			if err := sameTree(tree, edited); err != nil {
				t.Errorf("%s: changed, but %v, want no error", name, err)
			}
			return
		case fault.Forever:
			if tree["/f"] != old["/f"] && tree["/f"] != edited["/f"] {
				t.Errorf("%s: %q", name, tree["/f"])
			}
		default:
			if err := sameTree(tree, old); err != nil {
				t.Errorf("%s: refused, but %v, want no error", name, err)
			}
		}
		h := s.quick()
		if _, err := h.SweepTemps([]string{"/"}, nil); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
		if _, err := h.Edit(context.Background(), "/f", EditOptions{}, adds("mine")); err != nil {
			t.Errorf("%s: once more: got %v, want no error", name, err)
		}
		tree = s.tree()
		delete(tree, "/f"+stamp)
		if len(tree) != 2 || tree["/f"] != edited["/f"] {
			t.Errorf("%s: once more: got %v, want 2, %v", name, tree, edited["/f"])
		}
	})
	if inPlace == 0 {
		t.Error("no fault was survived: the test lost its subject")
	}
}

func TestEditLocked(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	held, err := h.Lock(context.Background(), "/f.lock", false, true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Edit(context.Background(), "/f", EditOptions{LockTimeout: 20 * time.Millisecond}, adds("x"))
	wantCode(t, err, contract.CodeLocked, "/f.lock")
	held.Unlock()
	if _, err := h.Edit(context.Background(), "/f", EditOptions{Create: Attributes{0o600, Keep, Keep}}, adds("x")); err != nil {
		t.Error(err)
	}
}

// TestEditCrowd has goroutines, processes and shell scripts add lines to one
// file, all under the lock.
func TestEditCrowd(t *testing.T) {
	s := newSandbox(t)
	s.write("/f", "# a comment\n", 0o644)
	shell, err := exec.LookPath("flock")
	if err != nil {
		t.Logf("no shell writers: %v", err)
	}
	want := []string{"# a comment"}
	var wg sync.WaitGroup
	add := func(line string, f func() error) {
		want = append(want, line)
		wg.Go(func() {
			if err := f(); err != nil {
				t.Errorf("%s: got %v, want no error", line, err)
			}
		})
	}
	for i := range 12 {
		line := fmt.Sprintf("goroutine %d", i)
		add(line, func() error {
			_, err := s.quick().Edit(context.Background(), "/f", EditOptions{LockTimeout: time.Minute}, adds(line))
			return err
		})
		line2 := fmt.Sprintf("process %d", i)
		add(line2, func() error {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "HOSTFS_TEST_EDIT="+s.out("/f"), "HOSTFS_TEST_LINE="+line2)
			return output(cmd)
		})
		if shell == "" {
			continue
		}
		line3 := fmt.Sprintf("shell %d", i)
		add(line3, func() error {
			return output(exec.Command(shell, s.out("/f.lock"), "sh", "-c",
				`cp -p "$0" "$0.$$" && echo "$1" >> "$0.$$" && mv "$0.$$" "$0"`, s.out("/f"), line3))
		})
	}
	wg.Wait()
	got := strings.Split(strings.TrimSuffix(s.read("/f"), "\n"), "\n")
	count := map[string]int{}
	for _, line := range got {
		count[line]++
	}
	for _, line := range want {
		if count[line] != 1 {
			t.Errorf("%q is there %d times, want 1", line, count[line])
		}
	}
	if len(got) != len(want) || got[0] != "# a comment" {
		t.Errorf("%d lines, want %d: %q", len(got), len(want), got)
	}
	if names, _ := filepath.Glob(s.out("/*")); len(names) != 2 {
		t.Errorf("left in the directory: got %v, want 2", names)
	}
}

func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func TestEditKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	s := newSandbox(t)
	s.write("/f", "1\n", 0o640)
	if err := os.Chown(s.out("/f"), 12345, 54321); err != nil {
		t.Fatal(err)
	}
	result, err := s.host().Edit(context.Background(), "/f", EditOptions{Backup: true}, adds("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/f", result.BackupFile} {
		var st unix.Stat_t
		if err := unix.Stat(s.out(path), &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != 12345 || st.Gid != 54321 || st.Mode&0o777 != 0o640 {
			t.Errorf("%s: %d:%d, mode %o, want st.Uid 12345, st.Gid 54321, st.Mode&0o777 0o640", path, st.Uid, st.Gid, st.Mode)
		}
	}
}
