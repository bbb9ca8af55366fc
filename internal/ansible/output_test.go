package ansible

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/report"
)

func dump(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestEncodeScrubsSecretsHoweverTheyStand(t *testing.T) {
	secrets := &Secrets{}
	secrets.Add("line one\nline \"two\"")
	secrets.Add("short")
	r := report.Failed(errors.New("it said line one\nline \"two\" and a short word"))
	out := string(encode(r, secrets))
	if strings.Contains(out, "line one") {
		t.Errorf(`secret in %s, want no "line one" in it`, out)
	}
	if !strings.Contains(out, "a short word") {
		t.Errorf(`a word that is no secret was taken: got %s, want "a short word" in it`, out)
	}
	if !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 {
		t.Errorf("not one line of JSON: %q", out)
	}
}

func TestEncodeMakesValidUTF8(t *testing.T) {
	out := encode(report.Failed(errors.New("caf\xe9 \xed\xa0\x80")), &Secrets{})
	if !json.Valid(out) || bytes.Contains(out, []byte{0xe9}) {
		t.Errorf("%q", out)
	}
}

// A fault of the program is a failed result, and the value of the panic, which
// may be anything, is not in it.
func TestPanicBecomesAResult(t *testing.T) {
	for _, value := range []any{"canary-text", errors.New("canary-error"), []byte("canary-bytes")} {
		var out bytes.Buffer
		p := Program{
			Args: []string{"-"}, Stdin: strings.NewReader(`{}`), Stdout: &out, Files: afero.NewMemMapFs(), Reader: testReader,
			Enroller: func(func(string)) (*enroll.Enroller, error) { panic(value) },
		}
		if exit := p.Main(context.Background()); exit != contract.CodeInternal.Info().Exit {
			t.Errorf("exit code %d", exit)
		}
		var r report.Result
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || !r.Failed || r.Error.Code != contract.CodeInternal {
			t.Errorf("%v: %s", err, out.String())
		}
		if strings.Contains(out.String(), "canary") {
			t.Errorf(`the panic's value leaked: got %s, want no "canary" in it`, out.String())
		}
	}
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		args []string
		want call
		ok   bool
	}{
		{[]string{"a.json"}, call{module: ModuleEnrollment, file: "a.json"}, true},
		{[]string{"-"}, call{module: ModuleEnrollment, file: "-"}, true},
		{[]string{"--check", "--diff", "-"}, call{module: ModuleEnrollment, file: "-", check: true, diff: true}, true},
		{[]string{"info"}, call{module: ModuleInfo}, true},
		{[]string{"info", "a.json"}, call{module: ModuleInfo, file: "a.json"}, true},
		{[]string{"--help"}, call{module: ModuleEnrollment, help: true}, true},
		{[]string{"--version"}, call{module: ModuleEnrollment, version: true}, true},
		{nil, call{}, false},
		{[]string{"a", "b"}, call{}, false},
		{[]string{"--forse", "a"}, call{}, false},
	}
	for _, tt := range tests {
		got, err := parseCommandLine(tt.args)
		if (err == nil) != tt.ok || err == nil && got != tt.want {
			t.Errorf("%q: %+v, %v", tt.args, got, err)
		}
	}
}

func TestUnreadableArguments(t *testing.T) {
	files := afero.NewMemMapFs()
	big := bytes.Repeat([]byte("x"), maxArguments+1)
	if err := afero.WriteFile(files, "/big", big, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, stdin := range map[string]io.Reader{"/absent": nil, "/big": nil, "-": bytes.NewReader(big)} {
		var out bytes.Buffer
		p := Program{Args: []string{name}, Stdin: stdin, Stdout: &out, Files: files, Reader: testReader}
		if exit := p.Main(context.Background()); exit != 64 || !strings.Contains(out.String(), "ENROLL_INVALID_ARGUMENT") {
			t.Errorf(`%s: exit code %d: got %s, want exit 64, "ENROLL_INVALID_ARGUMENT" in it`, name, exit, out.String())
		}
	}
}
