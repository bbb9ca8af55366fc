package admin

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"
)

const seed = "JBSWY3DPEHPK3PXP"

func totpRun(t *testing.T, dir, user string) *run {
	t.Helper()
	u, err := url.Parse("https://manager.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return &run{env: Environment{Now: time.Now}, url: u, c: &Connection{TOTPSecret: "jbsw y3dp ehpk 3pxp", Username: user, LockDir: dir}}
}

// A code serves once: the next login of the account waits for the next step,
// and that of another account does not.
func TestTOTPCodeServesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		start := time.Now()
		var codes []string
		for range 3 {
			code, err := totpRun(t, dir, "robot").totpCode(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want, _ := totp.GenerateCode(seed, time.Now()); code != want {
				t.Errorf("got %s after %s, want that time's %s", code, time.Since(start), want)
			}
			codes = append(codes, code)
		}
		if waited := time.Since(start); waited <= 30*time.Second || waited > time.Minute {
			t.Errorf("got three codes after %s, want two steps waited for", waited)
		}
		if codes[0] == codes[1] || codes[1] == codes[2] {
			t.Errorf("got %q, want three codes", codes)
		}
		before := time.Now()
		if _, err := totpRun(t, dir, "other").totpCode(t.Context()); err != nil || time.Since(before) != 0 {
			t.Errorf("got %v after %s, want another account not to wait", err, time.Since(before))
		}
	})
}

// A clock that was set back does not block the account for ever.
func TestTOTPStepOfAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := totpRun(t, t.TempDir(), "robot")
		file := filepath.Join(r.c.LockDir, r.stepFile())
		if err := os.WriteFile(file, []byte("99999999999\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if _, err := r.totpCode(t.Context()); err != nil || time.Since(before) != 0 {
			t.Errorf("got %v after %s, want a code at once", err, time.Since(before))
		}
	})
}

func TestTOTPSeedIsNotQuoted(t *testing.T) {
	r := totpRun(t, t.TempDir(), "robot")
	r.c.TOTPSecret = "no base32!"
	if _, err := r.totpCode(t.Context()); err == nil || err.Error() != "totp_secret is not base32" {
		t.Errorf("got %v", err)
	}
}

// Credentials of one kind keep those of the other out of the environment.
func TestConnectionFromEnvironment(t *testing.T) {
	env := map[string]string{
		"LINUX_PATCH_MANAGER_URL": "https://m", "LINUX_PATCH_MANAGER_USERNAME": "u", "LINUX_PATCH_MANAGER_PASSWORD": "p",
		"LINUX_PATCH_MANAGER_TOTP_SECRET": "s", "LINUX_PATCH_MANAGER_TOKEN": "t",
	}
	for name, c := range map[string]struct{ given, want Connection }{
		"nothing": {Connection{}, Connection{ManagerURL: "https://m", AccessToken: "t"}},
		"a token": {Connection{AccessToken: "x"}, Connection{ManagerURL: "https://m", AccessToken: "x"}},
		"a user":  {Connection{Username: "x"}, Connection{ManagerURL: "https://m", Username: "x", Password: "p", TOTPSecret: "s"}},
		"a code":  {Connection{Username: "x", TOTPCode: "1"}, Connection{ManagerURL: "https://m", Username: "x", Password: "p", TOTPCode: "1"}},
		"all of it": {Connection{ManagerURL: "https://n", Username: "x", Password: "y", TOTPSecret: "z"},
			Connection{ManagerURL: "https://n", Username: "x", Password: "y", TOTPSecret: "z"}},
	} {
		got := c.given
		got.fromEnvironment(func(n string) string { return env[n] })
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}
