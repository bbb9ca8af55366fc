package managerclient

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

const bundleMembers = `"ca_crt":"CA","server_crt":"CERT","server_key":"KEYCANARY"`

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   Verdict
		code   contract.Code
	}{
		// Dialect 1: the HTTP code.
		{"pending, empty", 202, "", Pending, ""},
		{"pending, text", 202, "accepted", Pending, ""},
		{"pending, object", 202, `{"queued":true}`, Pending, ""},
		{"approved", 200, `{` + bundleMembers + `}`, Approved, ""},
		{"approved, newer", 200, `{` + bundleMembers + `,"ca_chain":"","crl_pem":null,"later":[{"x":1}]}`, Approved, ""},
		{"denied", 403, "", Denied, contract.CodeDenied},
		{"unknown", 404, "<html>", Unknown, contract.CodeTokenUnknown},
		// Dialect 2: the body's status.
		{"pending", 200, `{"status":"pending"}`, Pending, ""},
		{"pending with nulls", 200, `{"status":"pending","ca_crt":null,"server_key":null}`, Pending, ""},
		{"approved", 200, ` {"status":"approved",` + bundleMembers + "}\r\n", Approved, ""},
		{"denied", 200, `{"status":"denied"}`, Denied, contract.CodeDenied},
		{"notfound", 200, `{"status":"notfound"}`, Unknown, contract.CodeTokenUnknown},
		{"not_found", 200, `{"status":"not_found"}`, Unknown, contract.CodeTokenUnknown},
		{"a mixture: pending by both", 202, `{"status":"pending"}`, Pending, ""},
		// Both.
		{"rate limit", 429, "Too Many Requests! Wait for 3s", RateLimited, contract.CodeRateLimited},
		{"server error", 500, `{"error":"Database error"}`, ManagerError, contract.CodeManagerError},
		{"gateway", 502, "<html>", ManagerError, contract.CodeManagerError},
		// What the contract does not know.
		{"empty 200", 200, "", Bad, contract.CodeBadAnswer},
		{"HTML", 200, "<!DOCTYPE html>KEYCANARY", Bad, contract.CodeBadAnswer},
		{"text", 200, "KEYCANARY", Bad, contract.CodeBadAnswer},
		{"list", 200, `[{"status":"pending"}]`, Bad, contract.CodeBadAnswer},
		{"null", 200, `null`, Bad, contract.CodeBadAnswer},
		{"neither", 200, `{}`, Bad, contract.CodeBadAnswer},
		{"cut", 200, `{` + bundleMembers, Bad, contract.CodeBadAnswer},
		{"cut 202", 202, `{"status":"pend`, Bad, contract.CodeBadAnswer},
		{"trailing", 200, `{` + bundleMembers + `}{}`, Bad, contract.CodeBadAnswer},
		{"new status", 200, `{"status":"KEYCANARY",` + bundleMembers + `}`, Bad, contract.CodeBadAnswer},
		{"approved without bundle", 200, `{"status":"approved"}`, Bad, contract.CodeBadAnswer},
		{"approved without key", 200, `{"status":"approved","ca_crt":"CA","server_crt":"CERT"}`, Bad, contract.CodeBadAnswer},
		{"without CA", 200, `{"ca_crt":"","server_crt":"CERT","server_key":"KEYCANARY"}`, Bad, contract.CodeBadAnswer},
		{"wrong type", 200, `{"ca_crt":["CA"],"server_crt":"CERT","server_key":"KEYCANARY"}`, Bad, contract.CodeBadAnswer},
		{"status number", 200, `{"status":1}`, Bad, contract.CodeBadAnswer},
		{"key twice", 200, `{` + bundleMembers + `,"server_key":"KEYCANARY2"}`, Bad, contract.CodeBadAnswer},
		{"status twice", 200, `{"status":"pending","status":"approved",` + bundleMembers + `}`, Bad, contract.CodeBadAnswer},
		{"another letter case is another member", 200, `{"Status":"pending"}`, Bad, contract.CodeBadAnswer},
		{"deep", 200, `{"x":` + strings.Repeat("[", 1<<17) + `}`, Bad, contract.CodeBadAnswer},
		{"long", 200, `{` + bundleMembers + `}` + strings.Repeat(" ", MaxBody), Bad, contract.CodeBadAnswer},
		{"redirect", 302, "", Bad, contract.CodeBadAnswer},
		{"unauthorized", 401, "", Bad, contract.CodeBadAnswer},
		{"no content", 204, "", Bad, contract.CodeBadAnswer},
		{"no status at all", 0, `{"status":"pending"}`, Bad, contract.CodeBadAnswer},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.name), func(t *testing.T) {
			v, b, err := Judge(c.status, []byte(c.body))
			if v != c.want {
				t.Fatalf("verdict %v, want %v (%v)", v, c.want, err)
			}
			if (b != nil) != (v == Approved) || b != nil && (b.CACrt != "CA" || b.ServerCrt != "CERT" || b.ServerKey != "KEYCANARY") {
				t.Errorf("got the bundle %v with %v, want a whole one with approved alone", b, v)
			}
			if (c.code == "") != (err == nil) || err != nil && contract.CodeOf(err) != c.code {
				t.Errorf("error %v, want code %q", err, c.code)
			}
			if err != nil && strings.Contains(err.Error(), "CANARY") {
				t.Errorf("got %q, want no text of the body in it", err)
			}
		})
	}
}

// FuzzJudge: a bundle comes out if and only if the answer is approved, exactly
// as a plain reading of the same bytes has it; a refusal repeats nothing of the
// body; and what was judged once is judged the same again.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{
		"", "accepted", `{"status":"pending"}`, `{"status":"denied"}`, `{"status":"notfound"}`, `{` + bundleMembers + `}`,
		`{"status":"approved",` + bundleMembers + `,"ca_chain":"C","crl_pem":null}`, `{"server_key":"a","server_key":"b"}`,
		`{"ca_crt":1}`, `{"a":{"status":"pending"}}`, "<html>", `{"status":"pending"} x`, `{"\u0073tatus":"denied"}`,
	} {
		for _, status := range []int{200, 202, 403, 500} {
			f.Add(status, s)
		}
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		v, b, err := Judge(status, []byte(body))
		if (b != nil) != (v == Approved) || (err == nil) != (v == Approved || v == Pending) {
			t.Fatalf("got verdict %v, bundle %v, error %v; want a bundle with approved, an error with neither that nor pending", v, b != nil, err)
		}
		if v2, _, err2 := Judge(status, []byte(body)); v2 != v || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("judged %v, then %v, want %v, %v", v, v2, v, fmt.Sprint(err2))
		}
		if err != nil && len(err.Error()) > 200 {
			t.Fatalf("got %q, want 200 bytes at most", err)
		}
		if b == nil {
			return
		}
		var plain map[string]json.RawMessage
		if status < 200 || status > 299 || json.Unmarshal([]byte(body), &plain) != nil {
			t.Fatalf("got approved from HTTP %d %q, want it from an object with 2xx alone", status, body)
		}
		for name, got := range map[string]string{
			"ca_crt": b.CACrt, "server_crt": b.ServerCrt, "server_key": b.ServerKey, "ca_chain": b.CAChain, "crl_pem": b.CRLPEM,
		} {
			var want string
			if raw, ok := plain[name]; ok && json.Unmarshal(raw, &want) != nil {
				t.Fatalf("%s is no string in %q", name, body)
			}
			if got != want {
				t.Fatalf("%s = %q, want %q", name, got, want)
			}
		}
		if b.CACrt == "" || b.ServerCrt == "" || b.ServerKey == "" {
			t.Fatal("got approved with a part missing, want CA, certificate and key")
		}
	})
}
