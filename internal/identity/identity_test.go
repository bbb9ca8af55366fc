package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
)

const someID = "0123456789abcdef0123456789abcdef"

// hostWith makes a source of the files, of one interface with 10.0.0.5, and
// without DNS.
func hostWith(t *testing.T, files map[string]string) Source {
	t.Helper()
	fs := afero.NewMemMapFs()
	for name, content := range files {
		if err := afero.WriteFile(fs, name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Source{
		Fs:    fs,
		Uname: func() (Uname, error) { return Uname{"web1", "6.1.0", "x86_64"}, nil },
		Interfaces: func() ([]Interface, error) {
			return []Interface{{Index: 2, Name: "eth0", Up: true, Addrs: addrs("10.0.0.5")}}, nil
		},
		Route:       func(context.Context, string) (netip.Addr, error) { return netip.Addr{}, errors.New("no route") },
		LookupCNAME: func(context.Context, string) (string, error) { return "", errors.New("no DNS") },
		LookupAddr:  func(context.Context, string) ([]string, error) { return nil, errors.New("no DNS") },
	}
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestGather(t *testing.T) {
	s := hostWith(t, map[string]string{
		"/etc/machine-id": someID + "\n",
		"/etc/hostname":   "web1.example.com\n",
		"/etc/os-release": "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID_LIKE=''\n",
	})
	h, w, err := s.Gather(t.Context(), Options{})
	if err != nil || len(w) != 0 {
		t.Fatal(err, w)
	}
	got, err := json.Marshal(h.Request())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"machine_id":"` + someID + `","fqdn":"web1.example.com","hostname":"web1","ip_address":"10.0.0.5","ip_addresses":["10.0.0.5"],` +
		`"os_details":{"id":"debian","name":"Debian GNU/Linux","distro":"Debian GNU/Linux","version":"12","os_version":"12","id_like":"",` +
		`"codename":"bookworm","kernel":"6.1.0","architecture":"x86_64"}}`
	if string(got) != want {
		t.Errorf("request\n%s, want\n%s", got, want)
	}
}

func TestRequestHasNoNull(t *testing.T) {
	got, err := json.Marshal(Host{}.Request())
	if err != nil || strings.Contains(string(got), "null") {
		t.Errorf(`got %s, %v, want no "null" in it`, got, err)
	}
}

func TestGatherStops(t *testing.T) {
	s := hostWith(t, map[string]string{"/etc/machine-id": someID})
	ctx, cancel := context.WithCancel(t.Context())
	s.LookupCNAME = func(context.Context, string) (string, error) { cancel(); return "", context.Canceled }
	if _, _, err := s.Gather(ctx, Options{}); contract.CodeOf(err) != contract.CodeInterrupted {
		t.Errorf("a lookup that was cut short: got %v, want %v", err, contract.CodeInterrupted)
	}
}

func TestMachineID(t *testing.T) {
	for name, c := range map[string]struct {
		etc, dbus, want string // "-" for no file
	}{
		"plain":                    {someID + "\n", "-", someID},
		"no newline":               {someID, "-", someID},
		"upper case":               {strings.ToUpper(someID) + "\r\n", "-", someID},
		"D-Bus's":                  {"-", someID + "\n", someID},
		"both":                     {someID, strings.Repeat("f", 32), someID},
		"none":                     {"-", "-", ""},
		"empty":                    {"\n", "-", ""},
		"empty, D-Bus's of before": {"", someID, ""},
		"uninitialized":            {"uninitialized\n", someID, ""},
		"zeros":                    {strings.Repeat("0", 32), "-", ""},
		"short":                    {someID[1:], "-", ""},
		"long":                     {someID + "0", "-", ""},
		"not hexadecimal":          {"g" + someID[1:], "-", ""},
		"a UUID":                   {"01234567-89ab-cdef-0123-456789abcdef", "-", ""},
		"two lines":                {someID[:16] + "\n" + someID[17:], "-", ""},
	} {
		files := map[string]string{}
		if c.etc != "-" {
			files["/etc/machine-id"] = c.etc
		}
		if c.dbus != "-" {
			files["/var/lib/dbus/machine-id"] = c.dbus
		}
		got, err := hostWith(t, files).MachineID()
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err != nil && (contract.CodeOf(err) != contract.CodeIdentity || !strings.Contains(contract.HintOf(err), "systemd-machine-id-setup")) {
			t.Errorf("%s: %v, hint %q", name, err, contract.HintOf(err))
		}
	}
	s := hostWith(t, nil)
	if err := s.Fs.MkdirAll("/etc/machine-id", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MachineID(); !errors.Is(err, errNotAFile) {
		t.Errorf("a directory: got %v, want %v", err, errNotAFile)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a.", 126) + "a"
	for name, c := range map[string]struct {
		option, hostname, kernel, hosts string
		cname                           string
		reverse                         []string
		fqdn, short                     string // "" for an error
		warns                           bool
	}{
		"option":                  {option: "Web1.Example.COM.", hostname: "other.example.com", kernel: "w", fqdn: "web1.example.com", short: "web1"},
		"short option":            {option: "web1", kernel: "w", fqdn: "web1", short: "web1"},
		"option on localhost":     {option: "web1.example.com", kernel: "localhost", fqdn: "web1.example.com", short: "web1"},
		"longest option":          {option: long, kernel: "w", fqdn: long, short: "a"},
		"too long option":         {option: long + "b", kernel: "w"},
		"option with underscore":  {option: "web_1.example.com", kernel: "w", fqdn: "web_1.example.com", short: "web_1"},
		"option with a space":     {option: "web1 .example.com", kernel: "w"},
		"option is an address":    {option: "10.0.0.1", kernel: "w"},
		"option is localhost":     {option: "localhost.localdomain", kernel: "w"},
		"hostname file":           {hostname: "# c\n\nWeb1.example.com \n", kernel: "web1", fqdn: "web1.example.com", short: "web1"},
		"kernel":                  {hostname: "web1\n", kernel: "web1.example.com", fqdn: "web1.example.com", short: "web1"},
		"file of the image":       {hostname: "localhost.localdomain\n", kernel: "web1.example.com", fqdn: "web1.example.com", short: "web1"},
		"file of before":          {hostname: "old\n", kernel: "web1.example.com", fqdn: "web1.example.com", short: "web1"},
		"hosts":                   {kernel: "web1", hosts: "127.0.0.1 localhost\n127.0.1.1\tweb1.example.com web1 # c\n", fqdn: "web1.example.com", short: "web1"},
		"hosts in other case":     {kernel: "web1", hosts: "10.0.0.5 Web1.example.com WEB1", fqdn: "web1.example.com", short: "web1"},
		"hosts, other line":       {kernel: "web1", hosts: "10.0.0.9 web2.example.com web2", fqdn: "web1", short: "web1", warns: true},
		"hosts on localhost":      {kernel: "web1", hosts: "127.0.0.1 localhost.localdomain web1\n::1 localhost web1", fqdn: "web1", short: "web1", warns: true},
		"hosts, second line":      {kernel: "web1", hosts: "127.0.0.1 localhost web1\n10.0.0.5 web1.example.com web1", fqdn: "web1.example.com", short: "web1"},
		"hosts without domain":    {kernel: "web1", hosts: "127.0.1.1 web1", cname: "web1.dns.example.", fqdn: "web1.dns.example", short: "web1"},
		"search list":             {kernel: "web1", cname: "web1.dns.example.", reverse: []string{"web1.reverse.example."}, fqdn: "web1.dns.example", short: "web1"},
		"wildcard DNS":            {kernel: "web1", cname: "parking.example.", fqdn: "web1", short: "web1", warns: true},
		"reverse":                 {kernel: "web1", reverse: []string{"gw.example.", "web1.reverse.example."}, fqdn: "web1.reverse.example", short: "web1"},
		"generic reverse":         {kernel: "web1", reverse: []string{"10-0-0-5.isp.example."}, fqdn: "web1", short: "web1", warns: true},
		"reverse begins the same": {kernel: "web1", reverse: []string{"web11.example."}, fqdn: "web1", short: "web1", warns: true},
		"short":                   {hostname: "web1\n", kernel: "localhost", fqdn: "web1", short: "web1", warns: true},
		"localhost":               {hostname: "localhost\n", kernel: "localhost.localdomain"},
		"number":                  {hostname: "4711\n", kernel: "w", fqdn: "4711", short: "4711", warns: true},
		"hostname with dot":       {hostname: "db_1.example.com.\n", kernel: "w", fqdn: "db_1.example.com", short: "db_1"},
		"hosts with dot":          {kernel: "web1", hosts: "10.0.0.5 Web_1.example.com. web1", fqdn: "web_1.example.com", short: "web1"},
		"no name":                 {kernel: "(none)"},
		"invalid":                 {hostname: "web 1\n", kernel: "-web"},
	} {
		files := map[string]string{"/etc/hosts": c.hosts}
		if c.hostname != "" {
			files["/etc/hostname"] = c.hostname
		}
		s := hostWith(t, files)
		s.LookupCNAME = func(ctx context.Context, host string) (string, error) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Errorf("%s: DNS may take for ever", name)
			}
			if host != c.short || c.cname == "" {
				return "", errors.New("no such host")
			}
			return c.cname, nil
		}
		s.LookupAddr = func(_ context.Context, addr string) ([]string, error) {
			if addr != "10.0.0.5" {
				t.Errorf(`%s: asked for %s, want "10.0.0.5"`, name, addr)
			}
			return c.reverse, nil
		}
		var w warnings
		fqdn, short, err := s.names(t.Context(), c.option, c.kernel, netip.MustParseAddr("10.0.0.5"), &w)
		if fqdn != c.fqdn || short != c.short || (err == nil) != (c.fqdn != "") || (len(w) > 0) != c.warns {
			t.Errorf("%s: %q, %q, %v, %v", name, fqdn, short, w, err)
		}
		code := contract.CodeIdentity
		if c.option != "" {
			code = contract.CodeInvalidArgument
		}
		if err != nil && contract.CodeOf(err) != code {
			t.Errorf("%s: %v has the code %s", name, err, contract.CodeOf(err))
		}
	}
}

func TestOSDetailsWithoutFiles(t *testing.T) {
	var w warnings
	d := hostWith(t, nil).osDetails(Uname{Release: "6.1", Machine: "aarch64"}, &w)
	want := contract.OSDetails{ID: "linux", Name: "Linux", Distro: "Linux", Kernel: "6.1", Architecture: "aarch64"}
	if d != want || len(w) != 1 {
		t.Errorf("got %+v, %v, want %v, 1", d, w, want)
	}
	d = hostWith(t, map[string]string{"/usr/lib/os-release": "ID=alpine"}).osDetails(Uname{}, &w)
	if d.ID != "alpine" || len(w) != 1 {
		t.Errorf(`got %+v, %v, want "alpine", 1`, d, w)
	}
	d = hostWith(t, map[string]string{"/usr/lib/os-release": "ID=alpine", "/etc/os-release": "ID=arch"}).osDetails(Uname{}, &w)
	if d.ID != "arch" {
		t.Errorf(`got %+v, %v, want "arch"`, d, w)
	}
}

func TestParseOSRelease(t *testing.T) {
	got := parseOSRelease([]byte(`# comment
ID=debian
  INDENTED=yes
NAME="Debian \"GNU\"/\$Linux\\ \x"
SINGLE='a "b" \c'
EMPTY=
QUOTED_EMPTY=""
ESCAPED=a\ b
COMMENT=value # comment
HASH=a#b
QUOTED="v" # comment
TWICE=one
TWICE=two
CRLF=x` + "\r" + `
CONTROL="a` + "\x1b" + `[31m` + "\xff" + `b"
OPEN="no end
OPEN2='no end
JOINED="a"b
MIXED=a"b"
TWO=a b
NOVALUE
=x
1X=x
A-B=x
`))
	want := map[string]string{
		"ID": "debian", "INDENTED": "yes", "NAME": `Debian "GNU"/$Linux\ \x`, "SINGLE": `a "b" \c`, "EMPTY": "", "QUOTED_EMPTY": "",
		"ESCAPED": "a b", "COMMENT": "value", "HASH": "a#b", "QUOTED": "v", "TWICE": "two", "CRLF": "x", "CONTROL": "a[31m\ufffdb",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// FuzzParseOSRelease: a value that is quoted as os-release(5) says comes back,
// lines are independent of each other, and all that is returned can be shown.
func FuzzParseOSRelease(f *testing.F) {
	f.Add("ID=debian\nNAME=\"a\\\"b\"", "VERSION_ID='12'\n", `a "b" $c \d`)
	f.Add("A=\"", "\"\nB=\\", "x\ny")
	f.Add("A=a#b # c", "A=\r\n", "'")
	f.Fuzz(func(t *testing.T, a, b, value string) {
		first, second := parseOSRelease([]byte(a)), parseOSRelease([]byte(b))
		for k, v := range second {
			first[k] = v
		}
		if got := parseOSRelease([]byte(a + "\n" + b)); !reflect.DeepEqual(got, first) {
			t.Fatalf("got %q and %q are %q, together %q, want %v", a, b, first, got, first)
		}
		for k, v := range first {
			if !isVariable(k) || clean(v) != v {
				t.Fatalf("%q=%q", k, v)
			}
		}
		if strings.ContainsAny(value, "\n\r") {
			return
		}
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(value)
		if got := parseOSRelease([]byte("X=\"" + quoted + "\" # c")); got["X"] != clean(value) {
			t.Fatalf("%q comes back as %q", value, got)
		}
	})
}

// FuzzParseHosts: lines are independent of each other, and an entry written
// out is read as the same entry.
func FuzzParseHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost\n", "::1\tlocalhost ip6-localhost # c")
	f.Add("10.0.0.5 a b\r\n", "fe80::1%eth0 x")
	f.Add("10.0.0.5#a", " 10.0.0.5\va")
	f.Fuzz(func(t *testing.T, a, b string) {
		want := append(parseHosts([]byte(a)), parseHosts([]byte(b))...)
		if got := parseHosts([]byte(a + "\n" + b)); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %q and %q are %v, together %v, want %v", a, b, want, got, want)
		}
		for _, e := range want {
			line := "192.0.2.1 " + strings.Join(e, "\t")
			if got := parseHosts([]byte(line)); len(got) != 1 || !reflect.DeepEqual(got[0], e) {
				t.Fatalf("%q is read as %v, want 1, %v", line, got, e)
			}
		}
	})
}

// TestField2_14_UnderscoreIsWarnedAbout: of a name from any source, and
// TestNames has what the short name is (1.15).
func TestField2_14_UnderscoreIsWarnedAbout(t *testing.T) {
	for _, c := range []struct{ option, hostname string }{{"db_1.example.com", ""}, {"", "db_1.example.com"}, {"DB_1.example.com.", "web1"}} {
		h, w, err := hostWith(t, map[string]string{"/etc/machine-id": someID, "/etc/hostname": c.hostname}).Gather(t.Context(), Options{FQDN: c.option})
		if err != nil || h.FQDN != "db_1.example.com" || h.Hostname != "db_1" || !strings.Contains(strings.Join(w, "\n"), "underscore") {
			t.Errorf("%+v: got %s, %s, %q, %v, want db_1.example.com, db_1 and a warning", c, h.FQDN, h.Hostname, w, err)
		}
	}
}
