package manager

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/pquerna/otp/totp"
	"github.com/spf13/afero"
)

func stateOf(a Account) string {
	switch {
	case a.Disabled:
		return "disabled"
	case a.ResetRequired:
		return "password reset required"
	case !a.LockedUntil.IsZero():
		return "locked until " + shown(a.LockedUntil)
	}
	return "active"
}

func onOff(v bool) string {
	if v {
		return "on"
	}
	return "off"
}

// accountFlags are the options of add-account and set-account. Secrets come
// from files, so that they stand in no process list.
type accountFlags struct {
	role, password, totp, newTOTP, disabled, reset string
	noTOTP, unlock                                 bool
}

func (v *accountFlags) define(f *flag.FlagSet) {
	f.StringVar(&v.role, "role", "", "admin (default of a new account), operator or viewer")
	f.StringVar(&v.password, "password-file", "", "file with the password, 8 to 72 bytes; - is standard input")
	f.StringVar(&v.totp, "totp-file", "", "file with a TOTP seed in base32; - is standard input")
	f.StringVar(&v.newTOTP, "new-totp-file", "", "make a TOTP seed and write it to this file, 0600")
	f.StringVar(&v.disabled, "disabled", "", "on or off")
	f.StringVar(&v.reset, "reset-required", "", "on or off: the password must be set anew before the next login")
}

func (c *cli) addAccount(ctx context.Context, args []string) error {
	f, data := c.flags("add-account", "--data DIR NAME --password-file FILE|- [options]: make an account of the admin API.")
	var v accountFlags
	v.define(f)
	return c.putAccount(ctx, f, data, args, &v, http.MethodPost)
}

func (c *cli) setAccount(ctx context.Context, args []string) error {
	f, data := c.flags("set-account", "--data DIR NAME [options]: change an account of the admin API.")
	var v accountFlags
	v.define(f)
	f.BoolVar(&v.noTOTP, "no-totp", false, "remove the second factor")
	f.BoolVar(&v.unlock, "unlock", false, "end the lock after five wrong passwords")
	return c.putAccount(ctx, f, data, args, &v, http.MethodPatch)
}

func (c *cli) putAccount(ctx context.Context, f *flag.FlagSet, data *string, args []string, v *accountFlags, method string) error {
	words, err := c.parse(f, data, args)
	if err != nil {
		return err
	}
	if len(words) != 1 {
		return exitf(exitUsage, "%s: one NAME is needed", f.Name())
	}
	files := osFiles()
	change, err := v.change(c, files)
	if err != nil {
		return err
	}
	api, err := connect(ctx, files, *data)
	if err != nil {
		return err
	}
	var a Account
	if err := api.call(ctx, method, pathAccounts+"/"+url.PathEscape(words[0]), change, &a); err != nil {
		return withCode(err)
	}
	if v.newTOTP != "" {
		if err := writeFile(files, v.newTOTP, []byte(*change.TOTPSecret+"\n"), 0o600); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(c.stdout, "account %s: role %s, TOTP %s, %s\n", a.Username, a.Role, onOff(a.MFAEnabled), stateOf(a))
	return err
}

func (v *accountFlags) change(c *cli, files afero.Afero) (AccountChange, error) {
	out := AccountChange{Unlock: v.unlock}
	if v.role != "" {
		out.Role = &v.role
	}
	for _, word := range []struct {
		name, value string
		into        **bool
	}{{"disabled", v.disabled, &out.Disabled}, {"reset-required", v.reset, &out.ResetRequired}} {
		if word.value == "" {
			continue
		}
		on, err := oneOf(word.name, word.value, "off", "on")
		if err != nil {
			return out, err
		}
		*word.into = &on
	}
	if v.password != "" {
		text, err := c.secret(files, v.password)
		if err != nil {
			return out, err
		}
		out.Password = &text
	}
	seed, err := v.seed(c, files)
	out.TOTPSecret = seed
	return out, err
}

// seed is the TOTP seed that the options ask for, nil for no change.
func (v *accountFlags) seed(c *cli, files afero.Afero) (*string, error) {
	switch ways := count(v.totp != "", v.newTOTP != "", v.noTOTP); {
	case ways == 0:
		return nil, nil
	case ways > 1:
		return nil, exitf(exitUsage, "give one of --totp-file, --new-totp-file and --no-totp")
	case v.noTOTP:
		return new(string), nil
	case v.totp != "":
		text, err := c.secret(files, v.totp)
		if err == nil && text == "" {
			err = fmt.Errorf("%s holds no TOTP seed", v.totp)
		}
		return &text, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "linux_patch_manager", AccountName: "administrator"})
	if err != nil {
		return nil, err
	}
	return new(key.Secret()), nil
}

// secret reads a file, or standard input for "-", without the line's end.
func (c *cli) secret(files afero.Afero, path string) (string, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(io.LimitReader(c.stdin, maxBody))
	} else {
		raw, err = files.ReadFile(path)
	}
	return strings.TrimRight(string(raw), "\r\n"), err
}

func (c *cli) removeAccount(ctx context.Context, args []string) error {
	f, data := c.flags("remove-account", "--data DIR NAME: remove an account of the admin API; its logins end.")
	api, words, err := c.open(ctx, f, data, args, 1)
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, pathAccounts+"/"+url.PathEscape(words[0]), nil, nil); err != nil {
		return withCode(err)
	}
	_, err = fmt.Fprintf(c.stdout, "removed account %s\n", words[0])
	return err
}
