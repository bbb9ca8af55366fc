package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// The same name planted with another machine-id, before and after the host's.
func TestAttackPlantedName(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	plant := func(name, fqdn string) *host {
		h := l.host(name)
		h.fqdn = fqdn
		h.post()
		return h
	}
	plant("early", "web.example.com")
	own := l.registered("web")
	copied := l.host("late")
	copied.fqdn, copied.ip, copied.proof = "web.example.com", own.ip, own.proof
	copied.send()
	plant("case", "WEB.example.com")
	r := l.approve(nil, own)
	r.want(t, own, "approved")
	if got := r.Results["web"]; got.MatchedBy != "token" || got.SuspectCount != 3 {
		t.Errorf("got %+v, want three suspects beside the approved request", got)
	}
	if left := l.waiting(); len(left) != 3 {
		t.Errorf("got %q still waiting, want the three planted ones", left)
	}
	if bundle := own.poll(); !strings.Contains(bundle, "server_key") {
		t.Errorf("got %s, want the host's bundle", bundle)
	}
	for _, id := range []*host{copied} {
		if answer := id.poll(); strings.Contains(answer, "server_key") {
			t.Errorf("got a bundle for the planted request")
		}
	}
}

// Someone registers the host's machine-id first.
func TestAttackSquat(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own, squat := l.host("web"), l.host("web")
	squat.machine, squat.ip = own.machine, "192.0.2.251"
	squat.post()
	if code := own.post(); code != 500 {
		t.Fatalf("got %d, want the manager to refuse the second request", code)
	}
	r := l.approve(nil, own)
	r.want(t, own, "blocked")
	if r.exit != 1 || len(l.waiting()) != 1 {
		t.Errorf("got exit code %d and %q waiting, want 1 and the squat left alone", r.exit, l.waiting())
	}
	for repairs := 1; repairs <= 2; repairs++ {
		r = l.approve(map[string]any{"on_blocked": "deny"}, own)
		r.want(t, own, "blocked")
		if got := r.Results["web"]; !got.RegisterAgain || got.Repairs != repairs {
			t.Errorf("got %+v, want repair %d", got, repairs)
		}
		own.repairs = repairs
		squat.post()
	}
	r = l.approve(map[string]any{"on_blocked": "deny"}, own)
	if got := r.Results["web"]; got.RegisterAgain || !strings.Contains(got.Reason, "registered again by someone else") {
		t.Errorf("got %+v, want the contest to end", got)
	}
	own.repairs = 0
	l.approve(map[string]any{"on_blocked": "deny"}, own)
	own.post()
	l.approve(nil, own).want(t, own, "approved")
}

// A squat is left alone where another host may own it.
func TestAttackSquatOfATwin(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	squat, a, b := l.host("a"), l.host("a"), l.host("b")
	a.machine, b.machine = squat.machine, squat.machine
	squat.post()
	a.post()
	b.post()
	r := l.approve(map[string]any{"on_blocked": "deny"}, a, b)
	r.want(t, a, "blocked")
	r.want(t, b, "blocked")
	if len(l.waiting()) != 1 {
		t.Errorf("got %q waiting, want the request left alone", l.waiting())
	}
}

// The host's own request, whose answer was lost, is made again.
func TestAccidentLostAnswer(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own := l.registered("web")
	own.token = ""
	r := l.approve(nil, own)
	r.want(t, own, "orphaned")
	if !r.Results["web"].RegisterAgain || len(l.waiting()) != 0 {
		t.Errorf("got %+v, want the request denied", r.Results["web"])
	}
	own.post()
	l.approve(nil, own).want(t, own, "approved")
}

// A cracked host of the inventory asks for what is another's.
func TestAttackAnothersName(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	name, address, unchecked, anything := l.host("one"), l.host("two"), l.host("three"), l.host("four")
	name.fqdn = "db.example.com"
	address.addresses = []string{"198.51.100.0/24"}
	unchecked.addresses = nil
	anything.addresses = "any"
	mapped := l.host("five")
	mapped.addresses = []string{"::ffff:" + mapped.ip + "/120"}
	for _, h := range []*host{name, address, unchecked, anything, mapped} {
		h.post()
	}
	r := l.approve(nil, name, address, unchecked, anything, mapped)
	r.want(t, name, "wrong_name")
	r.want(t, address, "wrong_address")
	r.want(t, unchecked, "address_unchecked")
	r.want(t, anything, "approved")
	r.want(t, mapped, "approved")
	if len(l.waiting()) != 3 {
		t.Errorf("got %q waiting, want three", l.waiting())
	}
}

// Two hosts with one machine-id, and one token at two hosts.
func TestAccidentClones(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	a, b, c, d := l.registered("a"), l.host("b"), l.registered("c"), l.host("d")
	b.machine = a.machine
	b.post()
	d.machine, d.token, d.proof = c.machine, c.token, c.proof
	r := l.approve(map[string]any{"on_blocked": "deny"}, a, b, c, d)
	r.want(t, a, "approved")
	r.want(t, b, "duplicate_machine_id")
	r.want(t, c, "duplicate_evidence")
	r.want(t, d, "duplicate_evidence")
	if r.Results["b"].Twin != "a" {
		t.Errorf("got the twin %q, want a", r.Results["b"].Twin)
	}
}

// Evidence that someone else may have made.
func TestAttackEvidence(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	part := func(name string) func(map[string]any, string, any) {
		return func(e map[string]any, key string, value any) { e[name].(map[string]any)[key] = value }
	}
	request, manager := part("request"), part("manager")
	tests := []struct {
		name, want, allow string
		change            func(map[string]any)
	}{
		{"relayed", "unverified_registration", "", func(e map[string]any) { manager(e, "verified_by", "insecure") }},
		{"deployed", "unverified_registration", "allow_unverified_registration", func(e map[string]any) { manager(e, "verified_by", "unknown") }},
		{"nokeys", "unverified_connection", "allow_unverified_connection", func(e map[string]any) { request(e, "connection", "ssh without host keys") }},
		{"nobody", "unverified_connection", "allow_unverified_connection", func(e map[string]any) { delete(e["request"].(map[string]any), "inventory_hostname") }},
		{"other", "wrong_evidence", "", func(e map[string]any) { request(e, "inventory_hostname", "another") }},
		{"wild", "unverified_connection", "", func(e map[string]any) {
			e["request"] = []any{1}
			e["manager"] = "x"
			e["machine_id"] = map[string]any{}
		}},
		{"upper", "approved", "", func(e map[string]any) {
			hash, _ := e["request"].(map[string]any)["token_sha256"].(string)
			request(e, "token_sha256", strings.ToUpper(hash))
		}},
		{"nohash", "wrong_evidence", "", func(e map[string]any) { request(e, "token_sha256", "none") }},
		{"liar", "enrolled", "", func(e map[string]any) { e["state"] = "enrolled" }},
	}
	var hosts []*host
	for _, tt := range tests {
		h := l.registered(tt.name)
		h.change = tt.change
		hosts = append(hosts, h)
	}
	r := l.approve(nil, hosts...)
	for i, tt := range tests {
		r.want(t, hosts[i], tt.want)
	}
	if got := r.Results["nokeys"].Suspects; len(got) != 1 || got[0].Same[0] != "token_sha256" {
		t.Errorf("got %+v, want the host's own request named by its hash", got)
	}
	for i, tt := range tests {
		if tt.allow != "" {
			l.approve(map[string]any{tt.allow: true}, hosts[i]).want(t, hosts[i], "approved")
		}
	}
}

// A manager that shows no token hashes is approved at by the proof.
func TestProofWhereTokensAreHidden(t *testing.T) {
	l := newLab(t, "--rate-limit", "off", "--hide-token-hash")
	own, stolen, bare := l.registered("web"), l.host("stolen"), l.host("bare")
	stolen.post()
	copied := l.host("copy")
	copied.proof, copied.fqdn = stolen.proof, stolen.fqdn
	copied.send()
	bare.proof = ""
	bare.send()
	r := l.approve(nil, own, stolen, bare)
	r.want(t, own, "approved")
	r.want(t, stolen, "unproven")
	r.want(t, bare, "unproven")
	if got := r.Results["web"].MatchedBy; got != "proof" {
		t.Errorf("got it matched by %q, want proof", got)
	}
}

// The manager has a host of this name or address already.
func TestHostExists(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own := l.registered("web")
	l.approve(nil, own).want(t, own, "approved")
	again := l.host("web")
	again.post()
	r := l.approve(nil, again)
	r.want(t, again, "host_exists")
	if e := r.Results["web"].Existing; e == nil || e.FQDN != "web.example.com" || e.ID == "" {
		t.Errorf("got the existing host %+v, want its id and name", e)
	}
	neighbour := l.host("db")
	neighbour.ip, neighbour.addresses = own.ip, "any"
	neighbour.post()
	r = l.approve(map[string]any{"on_existing": "replace"}, neighbour)
	r.want(t, neighbour, "host_exists")
	if !strings.Contains(r.Results["db"].Reason, "its name is not this host's") {
		t.Errorf("got %q, want a host with another name never to be replaced", r.Results["db"].Reason)
	}
	r = l.approve(map[string]any{"on_existing": "replace"}, again)
	r.want(t, again, "approved")
	if !strings.Contains(r.raw, "admin.removed") {
		t.Errorf("got %s, want the removal in the audit", r.raw)
	}
}

// Approved, and the host did not get it; or it has another certificate.
func TestUnclaimedAndOtherCertificate(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	good, lost, other := l.registered("good"), l.registered("lost"), l.registered("other")
	r := l.approve(nil, good, lost, other)
	for _, h := range []*host{good, lost, other} {
		h.id = r.Results[h.name].RequestID
	}
	serial := l.serials()
	installed := func(serial string) func(map[string]any) {
		return func(e map[string]any) {
			e["state"] = "enrolled"
			e["certificates"] = map[string]any{"server": map[string]any{"serial": serial}}
		}
	}
	good.change = installed(serial[good.id])
	other.change = installed(serial[good.id])
	lost.change = func(e map[string]any) { e["error"] = map[string]any{"code": "ENROLL_TOKEN_UNKNOWN"} }
	r = l.approve(map[string]any{"state": "closed"}, good, lost, other)
	r.want(t, good, "enrolled")
	r.want(t, lost, "unclaimed")
	r.want(t, other, "other_certificate")
	if r.Requests["certificates"] != 1 {
		t.Errorf("got %d questions for certificates, want 1", r.Requests["certificates"])
	}
	l.approve(map[string]any{"state": "withdrawn"}, lost).want(t, lost, "withdrawn")
	again := l.host("lost")
	again.post()
	l.approve(nil, again).want(t, again, "approved")
}

// Text of strangers never speaks to a terminal, and cannot break the list.
func TestAttackTerminalCodes(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own := l.registered("web")
	for _, name := range []string{"escape", "turn", "template", "blank"} {
		h := l.host("x")
		h.fqdn = name + ".example.com"
		if code := h.post(); code != http.StatusAccepted {
			t.Fatalf("got %d for %s", code, name)
		}
	}
	way := l.newRelay(func(string) bool { return false })
	way.rewrite = strings.NewReplacer("escape.example.com", `web.example.com\u001b[2J`, "turn.example.com", `web.example.com\u202e`,
		"template.example.com", "{{ lookup('pipe','id') }}", "blank.example.com", "web.example.com\u00a0")
	r := l.approve(way.arguments(), own)
	r.want(t, own, "approved")
	if strings.ContainsAny(r.raw, "\x1b\u202e\u00a0") || strings.Contains(r.raw, `\u001b`) || strings.Contains(r.raw, `\u202e`) {
		t.Errorf("got %q, want it plain", r.raw)
	}
	if got := r.Results["web"]; got.SuspectCount != 2 || r.UnclaimedRows.Count != 2 {
		t.Errorf("got %d suspects and %d of nobody, want the names that only look like the host's among the suspects", got.SuspectCount, r.UnclaimedRows.Count)
	}
}

// On the command line a host's own words about its connection count for nothing.
func TestAttackEvidenceThatCallsItselfVerified(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	h := l.registered("liar")
	unmarked := map[string]any{"_ansible_evidence_marked": nil}
	l.approve(unmarked, h).want(t, h, "unverified_connection")
	unmarked["allow_unverified_connection"] = true
	l.approve(unmarked, h).want(t, h, "approved")
}
