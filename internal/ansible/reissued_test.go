package ansible

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/enroll"
)

// A re-issued set comes on standard input or not at all: no file holds the key.
func TestReissuedSetIsTakenFromStandardInputAlone(t *testing.T) {
	const set = `{"_ansible_linux_patch_bundle": {"server_key": "CANARY-of-the-key"}}`
	files := afero.NewMemMapFs()
	if err := afero.WriteFile(files, "/args", []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := Program{Args: []string{"/args"}, Stdout: &out, Files: files, Reader: testReader}
	if exit := p.Main(context.Background()); exit != 64 || !strings.Contains(out.String(), "standard input alone") {
		t.Errorf("got exit code %d and %s, want it refused", exit, out.String())
	}
	out.Reset()
	var told []string
	p = Program{Args: []string{"-"}, Stdin: strings.NewReader(set), Stdout: &out, Files: files, Reader: testReader,
		Enroller: func(secret func(string)) (*enroll.Enroller, error) {
			told = append(told, "made")
			panic("CANARY-of-the-key")
		}}
	p.Main(context.Background())
	if len(told) != 1 || strings.Contains(out.String(), "CANARY") {
		t.Errorf("got %s, want it taken and the key hidden", out.String())
	}
}
