package contract

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestCodesAreWholeAndDistinct(t *testing.T) {
	codes, exits := map[Code]bool{}, map[int]Code{}
	for _, c := range Codes {
		if codes[c.Code] || exits[c.Exit] != "" {
			t.Errorf("%s, exit code %d: listed twice", c.Code, c.Exit)
		}
		codes[c.Code], exits[c.Exit] = true, c.Code
		if c.Exit < 3 {
			t.Errorf("%s: got exit code %d, want none of the Go runtime's and of shells", c.Code, c.Exit)
		}
		if !strings.HasPrefix(string(c.Code), "ENROLL_") || c.Exit <= 0 || c.Exit > 130 || c.Meaning == "" || c.Hint == "" {
			t.Errorf("%+v says too little", c)
		}
		if c.Code.Info() != c {
			t.Errorf("%s does not find itself, want %v", c.Code, c)
		}
	}
	if Code("ENROLL_NEVER_HEARD_OF").Info().Code != CodeInternal {
		t.Error("an unknown code is a fault of this program")
	}
}

func TestErrorsKeepTheirCodeAndCause(t *testing.T) {
	inner := Errorf(CodeFilesystem, "write %s: %w", "/x", fs.ErrPermission).WithHint("run as %s", "root")
	outer := fmt.Errorf("provisioning: %w", inner)
	if CodeOf(outer) != CodeFilesystem || HintOf(outer) != "run as root" || !errors.Is(outer, fs.ErrPermission) {
		t.Errorf("%s, %q", CodeOf(outer), HintOf(outer))
	}
	if err := Errorf(CodeDenied, "no"); HintOf(err) != CodeDenied.Info().Hint {
		t.Errorf("%q", HintOf(err))
	}
	if CodeOf(errors.New("plain")) != CodeInternal {
		t.Error("an error without a code is a fault of this program")
	}
}

// Types that hold a secret do not print it, however they are printed.
func TestSecretsDoNotPrint(t *testing.T) {
	const canary = "canary"
	bundle := PkiBundle{ServerKey: canary}
	for _, v := range []any{bundle, &bundle, PollingStatus{PkiBundle: bundle}, EnrollmentResponse{PollingToken: canary}, &EnrollmentResponse{PollingToken: canary}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, canary) {
				t.Errorf("%T with %s: %s", v, verb, s)
			}
		}
	}
}

// Who holds the lock for long is an agent that no one has approved.
func TestHintOfALockNamesTheWaitingAgent(t *testing.T) {
	hint := CodeLocked.Info().Hint
	for _, part := range []string{"agent", "stop it", "approve or deny its request"} {
		if !strings.Contains(hint, part) {
			t.Errorf("got %q, want %q in it", hint, part)
		}
	}
}
