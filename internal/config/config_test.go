package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"go.yaml.in/yaml/v3"
)

const full = `server: {bind: 10.0.0.1, port: 0x30}
tls:
  enabled: false
  port: 8443
  ca_cert: /c/ca.pem
  server_cert: '/c/server.pem'
  server_key: "/c/server.key"
  crl_path: /c/crl.pem
whitelist:
  path: /w.yaml
  unknown: [1, 2]
logging: {file_path: /l.log, level: debug}
enrollment:
  manager_url: https://m.example:9443/x
  polling_token: abc
  polling_interval_seconds: 0
  max_poll_attempts: 5
  report_interface: eth0
  report_ip: 10.0.0.2
  cert_renewal_threshold_days: 14
plugins: &p
  server: *p
`

func TestParse(t *testing.T) {
	c, err := Parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	no, interval, attempts, days := false, 0, 5, 14
	want := &Config{
		Server:    Server{[]string{"10.0.0.1"}, 48},
		TLS:       TLS{&no, 8443, "/c/ca.pem", "/c/server.pem", "/c/server.key", "/c/crl.pem"},
		Whitelist: Whitelist{"/w.yaml"},
		Logging:   Logging{"/l.log", "debug"},
		Enrollment: Enrollment{"https://m.example:9443/x", "abc", &interval, &attempts,
			"eth0", "10.0.0.2", &days},
		lines: c.lines,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %v", c, want)
	}
	if c.lines["tls.port"] != 4 || c.lines["enrollment.report_ip"] != 19 {
		t.Errorf("lines %v", c.lines)
	}
	if p, want := c.Paths(), (Paths{"/c/ca.pem", "/c/server.pem", "/c/server.key", "/c/crl.pem", "/w.yaml", "/l.log"}); p != want {
		t.Errorf("paths %+v, want %v", p, want)
	}
	if bind, port := c.Listen(); !slices.Equal(bind, []string{"10.0.0.1"}) || port != 8443 {
		t.Errorf("listens on %s %d", bind, port)
	}
}

func TestParseNothing(t *testing.T) {
	for _, in := range []string{"", "# c\n", "---\n", "~\n", "{}", "server:\ntls: ~\nenrollment: {}\n", "other: 1\n",
		"server: {port: , bind: ~}\ntls: {enabled: null}\nenrollment:\n  polling_token:\n  max_poll_attempts:\n"} {
		c, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%q: got %v, want no error", in, err)
			continue
		}
		c.lines = nil
		if !reflect.DeepEqual(c, &Config{}) {
			t.Errorf("%q gives %+v", in, c)
		}
		want := Paths{contract.DefaultCACertPath, contract.DefaultServerCertPath, contract.DefaultServerKeyPath,
			contract.DefaultCRLPath, contract.DefaultWhitelistPath, contract.DefaultAuditLogPath}
		if p := c.Paths(); p != want {
			t.Errorf("paths %+v, want %v", p, want)
		}
		if bind, port := c.Listen(); !slices.Equal(bind, []string{contract.DefaultBind}) || port != contract.DefaultPort {
			t.Errorf("listens on %s %d", bind, port)
		}
	}
}

func TestListen(t *testing.T) {
	c := Config{Server: Server{Port: 1}}
	if _, port := c.Listen(); port != 1 {
		t.Errorf("port %d, want server.port", port)
	}
	c.TLS.Port = 2
	if _, port := c.Listen(); port != 2 {
		t.Errorf("port %d, want tls.port", port)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"syntax", "tls:\n  port: 'S3CRET\n", "line 2"},
		{"syntax in the first line", "tls: S3CRET: 1\n", "line 1"},
		{"a list", "- S3CRET\n", "line 1"},
		{"text", "S3CRET\n", "line 1"},
		{"a section is text", "\nenrollment: S3CRET\n", "line 2: enrollment"},
		{"a section is a list", "enrollment:\n  - S3CRET\n", "line 2: enrollment"},
		{"token is a number", "enrollment:\n  polling_token: 31337666\n", "line 2: enrollment.polling_token"},
		{"token is a truth value", "enrollment:\n  polling_token: true\n", "line 2: enrollment.polling_token"},
		{"token is a list", "enrollment:\n  polling_token:\n    - S3CRET\n", "line 3: enrollment.polling_token"},
		{"token has a tag", "enrollment:\n  polling_token: !S3CRET x\n", "line 2: enrollment.polling_token"},
		{"token is base64", "enrollment:\n  polling_token: !!binary S3CRET\n", "line 2: enrollment.polling_token"},
		{"token is an alias of nothing", "enrollment:\n  polling_token: *S3CRET\n", "anchor"},
		{"port is text", "server:\n  port: \"S3CRET\"\n", "line 2: server.port"},
		{"port is a text of digits", "tls:\n  port: \"8443\"\n", "line 2: tls.port"},
		{"port is a fraction", "server:\n  port: 1.5\n", "line 2: server.port"},
		{"port is too large for a number", "server:\n  port: 123456789012345678901234567890\n", "line 2: server.port"},
		{"interval is text", "enrollment:\n  polling_interval_seconds: S3CRET\n", "line 2: enrollment.polling_interval_seconds"},
		{"enabled is text", "tls: {enabled: S3CRET}\n", "line 1: tls.enabled"},
		{"enabled is a mapping", "tls: {enabled: {S3CRET: 1}}\n", "line 1: tls.enabled"},
		{"section twice", "tls: {}\nserver: {}\ntls: {}\n", "line 3"},
		{"key twice", "enrollment:\n  polling_token: S3CRET\n  polling_token: x\n", "line 3"},
		{"merge key", "x: &x {S3CRET: 1}\nenrollment:\n  <<: *x\n", "line 3"},
		{"two documents", "---\ntls: {}\n---\nS3CRET: 1\n", "line 3"},
		{"control character", "tls: {}\n# S3CRET \x1b\n", "line 2"},
		{"not UTF-8", "# S3CRET \xc3\n", "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(tt.in))
			if err == nil {
				t.Fatalf("got %+v, want an error", c)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q in it", err, tt.want)
			}
			// A value is shown behind its key, and no other text, which may be a token.
			shown := strings.Contains(err.Error(), ", got: \"S3CRET\"") && !strings.Contains(tt.want, tokenKey)
			if !shown && strings.Contains(err.Error(), "S3CRET") || strings.Contains(err.Error(), "31337666") {
				t.Errorf("%q holds the value", err)
			}
			if code := contract.CodeOf(err); code != contract.CodeConfig {
				t.Errorf("code %s, want %v", code, contract.CodeConfig)
			}
			if _, err := SetPollingToken([]byte(tt.in), "t"); err == nil {
				t.Error("SetPollingToken edits it")
			}
			if _, err := ClearPollingToken([]byte(tt.in)); err == nil {
				t.Error("ClearPollingToken edits it")
			}
		})
	}
}

func TestTokenIsHidden(t *testing.T) {
	c, err := Parse([]byte("server: {port: 1}\nenrollment: {polling_token: S3CRET, report_ip: 10.0.0.9}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var printed []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		for _, v := range []any{c, *c, c.Enrollment, &c.Enrollment, []any{c}, map[string]any{"c": *c}} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
	}
	printed = append(printed, c.String(), c.GoString(), c.Enrollment.String(), c.Enrollment.GoString(), fmt.Sprint(c))
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		out, err := marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(out))
	}
	for _, p := range printed {
		if strings.Contains(p, "S3CRET") || strings.Contains(p, fmt.Sprintf("%x", "S3CRET")) {
			t.Errorf("%s holds the token", p)
		}
	}
	if s := c.String(); !strings.Contains(s, "10.0.0.9") || !strings.Contains(s, "(hidden)") {
		t.Errorf("%s says nothing of the rest", s)
	}
}

func TestValidate(t *testing.T) {
	good := []string{"", full, "enrollment: {polling_interval_seconds: 100000, cert_renewal_threshold_days: 0}\n",
		"logging: {level: INFO}\nserver: {bind: '::'}\n"}
	for _, in := range good {
		c, err := Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%q: got %v, want no error", in, err)
		}
	}
	tests := []struct{ in, want string }{
		{"server:\n  port: 70000\n", "line 2: server.port must be at most 65535"},
		{"server:\n  port: 0\n", "line 2: server.port must be at least 1"},
		{"tls: {port: 0}\n", "line 1: tls.port must be at least 1"},
		{"tls: {port: -1}\n", "line 1: tls.port must be at least 1"},
		{"server:\n  bind: S3CRET\n", "line 2: server.bind must be an IP address"},
		{"tls:\n  server_key: S3CRET/k\n", "line 2: tls.server_key must be an absolute path"},
		{"whitelist: {path: ../w}\n", "line 1: whitelist.path must be an absolute path"},
		{"logging: {level: S3CRET}\n", "line 1: logging.level must be one of: trace, debug, info, warn, error"},
		{"enrollment: {manager_url: 'ftp://S3CRET'}\n", "line 1: enrollment.manager_url must be an http or https URL"},
		{"enrollment: {report_ip: S3CRET}\n", "line 1: enrollment.report_ip must be an IP address"},
		{"enrollment: {report_interface: eth0/S3CRET}\n", "line 1: enrollment.report_interface must be the name of"},
		{"enrollment: {report_interface: S3CRET567890123456}\n", "line 1: enrollment.report_interface must be at most 15 characters"},
		{"enrollment: {max_poll_attempts: -1}\n", "line 1: enrollment.max_poll_attempts must be at least 0"},
		{"enrollment: {cert_renewal_threshold_days: -1}\n", "line 1: enrollment.cert_renewal_threshold_days must be at least 0"},
		{"enrollment: {cert_renewal_threshold_days: 999999}\n", "enrollment.cert_renewal_threshold_days must be at most 36500"},
	}
	for _, tt := range tests {
		c, err := Parse([]byte(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		err = c.Validate()
		if err == nil || !strings.Contains(err.Error(), tt.want) || contract.CodeOf(err) != contract.CodeConfig {
			t.Errorf("%q: %v, want %s", tt.in, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), ", got: \"") {
			t.Errorf("got %v, want the value in it", err)
		}
	}
	for name, in := range map[string]string{
		"a URL with a password": "enrollment: {manager_url: 'ftp://admin:S3CRET@m'}\n",
		"the token in an alias": "enrollment: {polling_token: &t S3CRET, report_ip: *t}\n",
	} {
		c, err := Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err == nil || strings.Contains(err.Error(), "S3CRET") {
			t.Errorf("%s: got %v, want an error without it", name, err)
		}
	}
	c, err := Parse([]byte("server:\n  port: 70000\ntls:\n  ca_cert: x\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "server.port") || !strings.Contains(err.Error(), "tls.ca_cert") {
		t.Errorf("%v does not name both", err)
	}
}

// example returns the shipped example as it is, and with its enrollment section
// switched on.
func example(t testing.TB) (shipped, enabled []byte) {
	t.Helper()
	shipped, err := os.ReadFile("../../configs/config.yaml.example")
	if err != nil {
		t.Fatal(err)
	}
	head, section, ok := bytes.Cut(shipped, []byte("\n# enrollment:\n"))
	if !ok {
		t.Fatal("the example has no commented enrollment section")
	}
	enabled = append(bytes.Clone(head), "\nenrollment:\n"...)
	for line := range bytes.Lines(section) {
		enabled = append(enabled, bytes.TrimPrefix(line, []byte("# "))...)
	}
	return shipped, enabled
}

func TestExample(t *testing.T) {
	shipped, enabled := example(t)
	c, err := Parse(shipped)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	none := &Config{}
	if c.Paths() != none.Paths() {
		t.Errorf("paths %+v are not the defaults", c.Paths())
	}
	if bind, port := c.Listen(); !slices.Equal(bind, []string{contract.DefaultBind}) || port != contract.DefaultPort || c.Server.Port != port || c.TLS.Port != port {
		t.Errorf("%s %d is not the default", bind, port)
	}
	if c.TLS.Enabled == nil || !*c.TLS.Enabled || !reflect.DeepEqual(c.Enrollment, Enrollment{}) {
		t.Errorf("got %+v", c)
	}
	c, err = Parse(enabled)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	e := c.Enrollment
	if e.ManagerURL != "https://manager.example.com" || *e.PollingIntervalSeconds != 60 || *e.MaxPollAttempts != 0 || *e.CertRenewalThresholdDays != 7 {
		t.Errorf("got %+v", e)
	}
	// Every key that the program reads is explained, and none that it doesn't.
	documented := map[string]map[string]any{}
	if err := yaml.Unmarshal(enabled, &documented); err != nil {
		t.Fatal(err)
	}
	sections := reflect.TypeFor[Config]()
	for i := range sections.NumField() {
		section := sections.Field(i)
		keys := documented[section.Tag.Get("key")]
		if section.Tag.Get("key") == "" {
			continue
		}
		for j := range section.Type.NumField() {
			key := section.Type.Field(j).Tag.Get("key")
			if _, ok := keys[key]; !ok {
				t.Errorf("%s.%s is not in the example", section.Tag.Get("key"), key)
			}
			delete(keys, key)
		}
		if len(keys) > 0 {
			t.Errorf("the example has keys that nobody reads: got %v, want none", keys)
		}
		delete(documented, section.Tag.Get("key"))
	}
	// A deployed agent does not start without it.
	delete(documented, "jobs")
	if len(documented) > 0 {
		t.Errorf("the example has sections that nobody reads: got %v, want none", documented)
	}
}

func BenchmarkParse(b *testing.B) {
	_, enabled := example(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(enabled)))
	for b.Loop() {
		if _, err := Parse(enabled); err != nil {
			b.Fatal(err)
		}
	}
}

// TestField2_9_Bind: one address as deployed configurations have it, several
// with commas, or a list; what is none is named with its line.
func TestField2_9_Bind(t *testing.T) {
	for text, want := range map[string][]string{
		"0.0.0.0": {"0.0.0.0"}, "'::'": {"::"}, "[0.0.0.0, '::1']": {"0.0.0.0", "::1"}, "\n  - 127.0.0.1\n  - '2001:db8::1'": {"127.0.0.1", "2001:db8::1"},
		"'127.0.0.1,::1'": {"127.0.0.1", "::1"}, "127.0.0.1, 127.0.0.2": {"127.0.0.1", "127.0.0.2"}, "''": {contract.DefaultBind},
	} {
		c, err := Parse([]byte("server:\n  bind: " + text + "\n"))
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("%s: got %v, want no error", text, err)
			continue
		}
		if got, _ := c.Listen(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"localhost", "[127.0.0.1, eth0]", "127.0.0.1;127.0.0.2", "256.0.0.1", "5", "[]", "{a: b}", "[[127.0.0.1]]", "127.0.0.1:12443"} {
		c, err := Parse([]byte("server:\n  bind: " + text + "\n"))
		if err == nil {
			err = c.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), "line 2: server.bind") {
			t.Errorf("%s: got %v, want an error at line 2 about server.bind", text, err)
		}
	}
}

// TestNoSecretOfAnotherKeyIsShown: what is refused may be a secret that stands
// behind a wrong key.
func TestNoSecretOfAnotherKeyIsShown(t *testing.T) {
	const token = "3PQ0c1mXyW7dN5kS9fJ2aB8vG4hL6eRtUiOpZxCqAwEsDrFtGyHuJiKoLpMnBvCx"
	for _, text := range []string{
		"enrollment:\n  polling_interval_seconds: " + token + "\n",
		"enrollment:\n  report_ip: " + token + "\n",
		"tls:\n  server_key: " + token + "\n",
		"tls:\n  server_key: |\n    -----BEGIN PRIVATE KEY-----\n    " + token + "\n    -----END PRIVATE KEY-----\n",
		"tls:\n  port: https://admin:" + token[:8] + "@manager.example\n",
		"logging:\n  level: " + token + "\n",
	} {
		c, err := Parse([]byte(text))
		if err == nil {
			err = c.Validate()
		}
		if err == nil || strings.Contains(err.Error(), token[:8]) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: got %v, want an error without the value", text, err)
		}
	}
}
