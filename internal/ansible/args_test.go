package ansible

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
)

var testReader = Reader{
	Getenv: func(name string) string { return map[string]string{"HOME": "/home/op", "BASE": "/srv/x"}[name] },
	HomeOf: func(user string) (string, error) {
		if user == "root" {
			return "/root", nil
		}
		return "", errors.New("no such user")
	},
}

func decode(raw string) (options.Params, error) {
	a, err := split([]byte(raw), ModuleEnrollment)
	if err != nil {
		return options.Params{}, err
	}
	return testReader.Params(a)
}

func TestCoercion(t *testing.T) {
	mode := func(m fs.FileMode) *fs.FileMode { return &m }
	number := func(n int) *int { return &n }
	span := func(d time.Duration) *options.Span { s := options.Span(d); return &s }
	tests := []struct {
		options string
		want    func(*options.Params)
	}{
		{``, func(*options.Params) {}},
		{`"wait": "no"`, func(p *options.Params) { p.Wait = false }},
		{`"wait": 0`, func(p *options.Params) { p.Wait = false }},
		{`"wait": "False"`, func(p *options.Params) { p.Wait = false }},
		{`"wait": null`, func(*options.Params) {}},
		{`"force": " ON "`, func(p *options.Params) { p.Force = true }},
		{`"wait_timeout": "90"`, func(p *options.Params) { p.WaitTimeout = options.Span(90 * time.Second) }},
		{`"wait_timeout": 0.5`, func(p *options.Params) { p.WaitTimeout = options.Span(time.Second / 2) }},
		{`"renew_before": "7d"`, func(p *options.Params) { p.RenewBefore = span(7 * 24 * time.Hour) }},
		{`"polling_interval_seconds": "30"`, func(p *options.Params) { p.PollingIntervalSeconds = number(30) }},
		{`"max_poll_attempts": 3.0`, func(p *options.Params) { p.MaxPollAttempts = number(3) }},
		{`"cert_mode": "0640"`, func(p *options.Params) { p.CertMode = mode(0o640) }},
		{`"cert_mode": "640"`, func(p *options.Params) { p.CertMode = mode(0o640) }},
		{`"key_mode": 384`, func(p *options.Params) { p.KeyMode = mode(0o600) }},
		{`"key_mode": "u=rw"`, func(p *options.Params) { p.KeyMode = mode(0o600) }},
		{`"key_mode": "u=rw,g=r"`, func(p *options.Params) { p.KeyMode = mode(0o640) }},
		{`"cert_mode": "a=r,u=rw"`, func(p *options.Params) { p.CertMode = mode(0o644) }},
		{`"state_dir": "~/state"`, func(p *options.Params) { p.StateDir = "/home/op/state" }},
		{`"state_dir": "~root/state"`, func(p *options.Params) { p.StateDir = "/root/state" }},
		{`"state_dir": "$BASE/state"`, func(p *options.Params) { p.StateDir = "/srv/x/state" }},
		{`"state_dir": "${BASE}/a$UNSET"`, func(p *options.Params) { p.StateDir = "/srv/x/a$UNSET" }},
		{`"owner": 0`, func(p *options.Params) { p.Owner = "0" }},
		{`"_ansible_check_mode": true, "_ansible_anything_new": {"a": 1}`, func(p *options.Params) { p.Check = true }},
	}
	for _, tt := range tests {
		t.Run(tt.options, func(t *testing.T) {
			want := options.DefaultParams()
			tt.want(&want)
			got, err := decode("{" + tt.options + "}")
			if err != nil {
				t.Fatal(err)
			}
			if g, w := dump(got), dump(want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

func TestBadArguments(t *testing.T) {
	tests := []struct{ args, want string }{
		{``, "not one JSON object"},
		{`[]`, "not one JSON object"},
		{`{"a": 1`, "not one JSON object"},
		{`{} {}`, "something follows"},
		{`{"wait": true, "wait": false}`, `"wait" is given twice`},
		{`{"manager_uri": "x", "zzz": 1}`, "Unsupported parameters for (linux_patch.api.enrollment) module: manager_uri, zzz. Supported parameters include: allow_ca_change, backup,"},
		{`{"state": "present"}`, "value of state must be one of: registered, enrolled, absent, got: present"},
		{`{"token_storage": "vault"}`, "value of token_storage must be one of: config, state_dir, got: vault"},
		{`{"wait": "maybe"}`, `argument 'wait' is of type str and we were unable to convert to bool: "maybe" is not a valid boolean`},
		{`{"wait": ""}`, "argument 'wait' is of type str"},
		{`{"wait": [true]}`, "argument 'wait' is of type list and we were unable to convert to bool: a list is not a valid boolean"},
		{`{"max_poll_attempts": "many"}`, "argument 'max_poll_attempts' is of type str and we were unable to convert to int"},
		{`{"max_poll_attempts": 1.5}`, "argument 'max_poll_attempts' is of type float"},
		{`{"max_poll_attempts": -1}`, "value of max_poll_attempts must be 0 or more"},
		{`{"wait_timeout": "soon"}`, "unable to convert to a time span"},
		{`{"wait_timeout": "-1"}`, "unable to convert to a time span"},
		{`{"wait_timeout": "NaN"}`, "unable to convert to a time span"},
		{`{"renew_before": "999999999999d"}`, "unable to convert to a time span"},
		{`{"key_mode": 600}`, "quote it"},
		{`{"key_mode": "u+rw"}`, "+ and - would depend on the file before"},
		{`{"key_mode": "4600"}`, "bits beyond"},
		{`{"key_mode": "u=rws"}`, "a permission other than r, w and x"},
		{`{"key_mode": "0800"}`, "neither octal"},
		{`{"manager_url": {"a": "b"}}`, "argument 'manager_url' is of type dict and we were unable to convert to str"},
		{`{"fqdn": "a\u0000b"}`, "NUL"},
		{`{"fqdn": "not a name"}`, "value of fqdn must be a host name"},
		{`{"report_ip": "10.0.0.256"}`, "value of report_ip must be an IP address"},
		{`{"state_dir": "relative/dir"}`, "value of state_dir must be an absolute path"},
		{`{"state_dir": "/var/lib/../../etc"}`, "without '..'"},
		{`{"state_dir": "~nobody-here/x"}`, "no home directory"},
		{`{"manager_ca_fingerprint": "AB:CD"}`, "value of manager_ca_fingerprint must be a SHA-256 fingerprint"},
		{`{"manager_ca_path": "/a", "manager_ca_pem": "x"}`, "parameters are mutually exclusive: manager_ca_path|manager_ca_pem"},
		{`{"bundle_path": "/b"}`, "missing parameter(s) required by 'bundle_path': bundle_ca_fingerprint"},
		{`{"_ansible_check_mode": "perhaps"}`, "_ansible_check_mode"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			_, err := decode(tt.args)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want …%s…", err, tt.want)
			}
			if code := contract.CodeOf(err); code != contract.CodeInvalidArgument {
				t.Errorf("code %s, want %v", code, contract.CodeInvalidArgument)
			}
		})
	}
}

// A value of a secret option is never quoted, whatever is wrong with it.
func TestBadArgumentsQuoteNoSecret(t *testing.T) {
	const canary = "canary-4f1d2c"
	for _, args := range []string{
		`{"proxy_url": ["` + canary + `"]}`,
		`{"proxy_url": {"` + canary + `": 1}}`,
		`{"manager_ca_pem": {"x": "` + canary + `"}}`,
		`{"manager_ca_pem": "` + canary + `", "manager_ca_path": "/x"}`,
		`{"manager_ca_pem": "` + canary,
		`{"manager_ca_pem": "` + canary + `" "x"}`,
	} {
		if _, err := decode(args); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%v", err)
		}
	}
}

func TestModuleByName(t *testing.T) {
	for name, want := range map[string]string{
		"enrollment": ModuleEnrollment, "linux_patch.api.enrollment": ModuleEnrollment,
		"enrollment_info": ModuleInfo, "linux_patch.api.enrollment_info": ModuleInfo,
	} {
		a, err := split([]byte(`{"_ansible_module_name": "`+name+`"}`), ModuleEnrollment)
		if err != nil || a.control.Module != want {
			t.Errorf("%s: module %s, %v, want %v", name, a.control.Module, err, want)
		}
	}
}

// Every option has a type that can be coerced to, and a name.
func TestEveryOptionDecodes(t *testing.T) {
	for _, name := range Options(options.Params{}) {
		if _, err := decode(`{"` + name + `": null}`); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
		// Any value decodes or is refused; none is left without a type.
		for _, v := range []string{`"x"`, `1`, `true`, `[]`} {
			_, err := decode(`{"` + name + `": ` + v + `}`)
			if err != nil && contract.CodeOf(err) != contract.CodeInvalidArgument {
				t.Errorf("%s: %s: %v", name, v, err)
			}
		}
	}
	if !slices.Contains(Options(options.InfoParams{}), "status_path") {
		t.Error("enrollment_info has lost an option")
	}
}

func FuzzArguments(f *testing.F) {
	for _, seed := range []string{`{}`, `{"manager_url":"https://m","wait":"no","key_mode":"u=rw","renew_before":"7d"}`, `{"a":1,"a":2}`, "{\"wait\":\xff}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := split(raw, ModuleEnrollment)
		if err != nil {
			return
		}
		p, err := testReader.Params(a)
		if err != nil {
			return
		}
		// What is accepted holds what the rest of the program counts on.
		if !slices.Contains([]string{"registered", "enrolled", "absent"}, p.State) || !strings.HasPrefix(string(p.StateDir), "/") ||
			p.WaitTimeout < 0 || p.LockTimeout < 0 || p.CertMode != nil && *p.CertMode > 0o777 || p.KeyMode != nil && *p.KeyMode > 0o777 {
			t.Errorf("accepted %q as %s", raw, dump(p))
		}
		// Templates make strings of booleans and numbers: they mean the same.
		text, changed := asTemplated(t, raw)
		if !changed {
			return
		}
		again, err := split(text, ModuleEnrollment)
		if err != nil {
			t.Fatalf("got %q, of %q: %v, want no error", text, raw, err)
		}
		same, err := testReader.Params(again)
		if err != nil || dump(same) != dump(p) {
			t.Errorf("%q is %s, and %q is %s, %v", raw, dump(p), text, dump(same), err)
		}
	})
}

var plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

// asTemplated makes strings of the booleans and plain numbers in arguments, but
// of modes: a number is one by its value, a string is octal.
func asTemplated(t *testing.T, raw []byte) (text []byte, changed bool) {
	t.Helper()
	all := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatalf("accepted %q, which is no object: got %v, want no error", raw, err)
	}
	for name, value := range all {
		if strings.HasPrefix(name, "_ansible_") || strings.HasSuffix(name, "_mode") {
			continue
		}
		switch v := value.(type) {
		case bool:
			all[name], changed = strconv.FormatBool(v), true
		case json.Number:
			if plainNumber.MatchString(v.String()) {
				all[name], changed = v.String(), true
			}
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text, changed
}
