package aptrepo

import (
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"
)

const keyring = "/etc/apt/keyrings/linux-patch-enroll.gpg"

// fingerprint is that of testdata/key.asc, as gpg printed it.
const fingerprint = "139008f917e42a8dcb91d29e4bad340c21dc7652"

func TestField1_7_SourcesAreWrittenAnew(t *testing.T) {
	const one = "Types: deb\nURIs: https://repo.example.com/apt\nSuites: bookworm\nComponents: main\nSigned-By: " + keyring + "\n"
	for name, c := range map[string]struct{ text, want, dropped string }{
		"one line":           {"deb https://repo.example.com/apt bookworm main", one, ""},
		"deb822":             {"Types: deb\nURIs: https://repo.example.com/apt\nSuites: bookworm\nComponents: main\n", one, ""},
		"trusted":            {"deb [trusted=yes] https://repo.example.com/apt bookworm main\n", one, "trusted"},
		"Trusted":            {"Types: deb\nTrusted: yes\nURIs: https://repo.example.com/apt\nSuites: bookworm\nComponents: main\nAllow-Insecure: yes\n", one, "allow-insecure trusted"},
		"another keyring":    {"deb [ arch=amd64 signed-by=/tmp/evil.gpg allow-weak=yes ] https://repo.example.com/apt bookworm main", one, "allow-weak arch"},
		"another key within": {"Types: deb\nURIs: https://repo.example.com/apt\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n", one, ""},
		"comments, CRLF":     {"# Linux Patch – repository\r\n\r\ndeb\thttps://repo.example.com/apt   bookworm\tmain # ours\r\n", one, ""},
		"one is off":         {one + "\nTypes: deb\nEnabled: no\nURIs: http://x\nSuites: s\nComponents: c\n", one, "a repository that is not enabled"},
		"two":                {"deb https://repo.example.com/apt bookworm main\ndeb-src https://repo.example.com/apt ./\n", one + "\nTypes: deb-src\nURIs: https://repo.example.com/apt\nSuites: ./\nSigned-By: " + keyring + "\n", ""},
		"folded":             {"Types: deb\nURIs:\n https://repo.example.com/apt\nSuites: bookworm\nComponents: main\n", one, ""},
	} {
		sources, dropped, err := Parse(c.text)
		if got := string(Render(sources, keyring)); err != nil || got != c.want || strings.Join(dropped, " ") != c.dropped {
			t.Errorf("%s: got %q, dropped %v, %v; want %q, dropped %s", name, got, dropped, err, c.want, c.dropped)
		}
	}
}

func TestField1_7_HostileSources(t *testing.T) {
	deb822 := func(field string) string {
		return "Types: deb\nURIs: https://repo.example.com/\nSuites: s\nComponents: c\n" + field
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"comments alone":       "# deb https://x s c\n",
		"http":                 "deb http://repo.example.com s c",
		"upper-case scheme":    "deb HTTPS://repo.example.com s c",
		"file":                 "deb file:///srv s c",
		"another method":       "deb mirror+https://x s c",
		"a proxy in it":        "deb https://user:secret@repo.example.com/ s c",
		"query":                "deb https://repo.example.com/?a s c",
		"no host":              "deb https:///etc s c",
		"one good, one http":   "deb https://repo.example.com s c\ndeb http://repo.example.com s c",
		"two URIs, one http":   "Types: deb\nURIs: https://a.example.com http://b.example.com\nSuites: s\nComponents: c\n",
		"no component":         "deb https://repo.example.com s",
		"a path and component": "deb https://repo.example.com s/ c",
		"climbing suite":       "deb https://repo.example.com ../../etc/ ",
		"a variable":           "deb https://repo.example.com $(ARCH) c",
		"another type":         "Types: deb rpm\nURIs: https://repo.example.com/\nSuites: s\nComponents: c\n",
		"of another package":   "[repo]\nname=x\nbaseurl=https://repo.example.com\n",
		"open option":          "deb [trusted=yes https://repo.example.com s c",
		"option after options": "deb [a=b] [trusted=yes] https://repo.example.com s c",
		"field twice":          deb822("URIs: https://other.example.com/\n"),
		"field in other case":  deb822("uris: http://other.example.com/\n"),
		"escape":               deb822("X: \x1b]0;owned\a\n"),
		"NUL":                  "deb https://repo.example.com s c\x00",
		"vertical tab":         "deb https://repo.example.com\vs c x",
		"no-break space":       "deb https://repo.example.com s c\u00a0main",
		"huge":                 strings.Repeat("deb https://repo.example.com s c\n", 1<<12),
		"many":                 strings.Repeat("deb https://repo.example.com s c\n", 17),
		"many words":           "deb https://repo.example.com s" + strings.Repeat(" c", 40),
		"continues nothing":    " https://x\nTypes: deb\n",
	} {
		if sources, _, err := Parse(text); err == nil {
			t.Errorf("%s: got %+v, want an error", name, sources)
		}
	}
}

func armored(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/key.asc")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func armor(raw []byte) string {
	return armorBegin + "\n\n" + base64.StdEncoding.EncodeToString(raw) + "\n" + armorEnd + "\n"
}

func TestField1_7_KeyIsTheOneThatWasNamed(t *testing.T) {
	raw, err := Key(armored(t), fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if got := Describe(raw); got != "OpenPGP public key "+strings.ToUpper(fingerprint)+"\n" {
		t.Errorf("got %q, want the fingerprint", got)
	}
	end := func(cut int) []byte { return raw[:len(raw)-cut] }
	// 0x98 is the head of the primary key's packet, 0x88 that of its signature.
	first := raw[:2+int(raw[1])]
	secret := slices.Concat([]byte{0x94}, first[1:])
	partial := slices.Concat([]byte{0xc6, 0xe1}, first[2:])
	indeterminate := slices.Concat([]byte{0x9b}, first[2:])
	v3 := slices.Clone(first)
	v3[2] = 3
	for name, text := range map[string]string{
		"another key behind":    armor(slices.Concat(raw, raw)),
		"another key in front":  armor(slices.Concat(v3, raw)),
		"two blocks":            armored(t) + armored(t),
		"text in front":         "x\n" + armored(t),
		"a secret key":          armor(secret),
		"a private block":       strings.ReplaceAll(armored(t), "PUBLIC", "PRIVATE"),
		"version 3":             armor(v3),
		"cut off":               armor(end(1)),
		"partial length":        armor(partial),
		"length to the end":     armor(indeterminate),
		"no packet":             armor(nil),
		"a signature in front":  armor(raw[len(first):]),
		"no armor":              string(raw),
		"no end":                strings.TrimSuffix(strings.TrimSpace(armored(t)), armorEnd),
		"no empty line":         strings.Replace(armored(t), "\n\n", "\n", 1),
		"other characters":      strings.Replace(armored(t), "mDME", "m*ME", 1),
		"nothing":               "",
		"a length of 4 GiB":     armor([]byte{0xc6, 0xff, 0xff, 0xff, 0xff, 0xff, 4}),
		"a length that is cut":  armor([]byte{0xc6, 0xff, 0xff}),
		"a head alone":          armor([]byte{0xc6}),
		"one byte of the other": armor(append(slices.Clone(first[:len(first)-1]), first[len(first)-1]^1)),
	} {
		if got, err := Key(text, fingerprint); err == nil {
			t.Errorf("%s: got %d bytes, want an error", name, len(got))
		}
	}
	for name, text := range map[string]string{
		"CRLF":        strings.ReplaceAll(armored(t), "\n", "\r\n"),
		"a header":    strings.Replace(armored(t), "\n\n", "\nComment: ours\n\n", 1),
		"no checksum": armor(raw),
		"key alone":   armor(first),
		"new lengths": armor(slices.Concat([]byte{0xc6, 0xff, 0, 0, 0, byte(len(first) - 2)}, first[2:])),
	} {
		if _, err := Key(text, fingerprint); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
	}
	for _, s := range []string{"1390 08F9 17E4 2A8D CB91  D29E 4BAD 340C 21DC 7652", "0x" + fingerprint, strings.ToUpper(fingerprint)} {
		if got, err := NormalizeFingerprint(s); got != fingerprint || err != nil {
			t.Errorf("%q: got %q, %v, want %q", s, got, err, fingerprint)
		}
	}
	for _, s := range []string{"", "4BAD340C21DC7652", fingerprint + "00", strings.Repeat("0", 64), strings.Repeat("g", 40)} {
		if got, err := NormalizeFingerprint(s); err == nil {
			t.Errorf("%q: got %q, want an error", s, got)
		}
	}
}

// What is written reads back as the same, and has nothing but the five fields,
// https URIs and the caller's keyring.
func FuzzParse(f *testing.F) {
	f.Add("deb [trusted=yes] https://repo.example.com/apt bookworm main # x\n")
	f.Add("Types: deb deb-src\nURIs:\n https://a/ https://[::1]:8/\nSuites: ./\nTrusted: yes\n\n# c\nTypes: deb\nEnabled: no\n")
	f.Fuzz(func(t *testing.T, text string) {
		sources, _, err := Parse(text)
		if err != nil {
			return
		}
		out := string(Render(sources, keyring))
		again, dropped, err := Parse(out)
		if err != nil || len(dropped) > 0 || string(Render(again, keyring)) != out {
			t.Fatalf("%q is written as %q, which reads as %+v, dropped %v, %v", text, out, again, dropped, err)
		}
		for line := range strings.Lines(out) {
			field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch field {
			case "", "Types", "Suites", "Components":
			case "URIs":
				for uri := range strings.SplitSeq(value, " ") {
					if !strings.HasPrefix(uri, "https://") {
						t.Fatalf(`%q is written with %q, want "https://" first`, text, uri)
					}
				}
			case "Signed-By":
				if value != keyring {
					t.Fatalf("%q is written with %q", text, line)
				}
			default:
				t.Fatalf("%q is written with %q", text, line)
			}
		}
	})
}

// A key that is taken is in front of the keyring, and there is no other.
func FuzzKey(f *testing.F) {
	raw, err := dearmor(armored(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{0xc6, 0xff, 0, 0, 0, 6, 4, 0, 0, 0, 0, 22})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := fingerprintOf(raw)
		if err != nil {
			return
		}
		taken, err := Key(armor(raw), got)
		if err != nil || string(taken) != string(raw) {
			t.Fatalf("%x: got %x, %v, want %v", raw, taken, err, string(raw))
		}
		if _, err := fingerprintOf(slices.Concat(raw, raw)); err == nil {
			t.Fatalf("%x twice is one key, want an error", raw)
		}
	})
}
