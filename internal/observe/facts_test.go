package observe_test

import (
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// pending is a host whose request of sent waits at the manager.
func pending(s *site, since time.Time, sent *statedir.Request) {
	hosttest.Must(s.t, s.seen(nil).Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, MachineID: machineID, FQDN: "web1.test", Since: since, Request: sent}))
}

// TestHowFarAHostHasCome: by its disk alone.
func TestHowFarAHostHasCome(t *testing.T) {
	dead := func(state contract.State) func(s *site) {
		return func(s *site) {
			pending(s, time.Now(), nil)
			hosttest.Must(s.t, s.seen(nil).Disk.Bury(state, false))
		}
	}
	for _, c := range []struct {
		name  string
		there func(s *site)
		want  contract.State
	}{
		{"nothing", func(*site) {}, contract.StateAbsent},
		{"a request waits", func(s *site) { pending(s, time.Now(), nil) }, contract.StatePending},
		{"an answer waits", func(s *site) {
			poll, err := s.seen(nil).Disk.PreparePoll()
			hosttest.Must(s.t, err)
			hosttest.Must(s.t, poll.Store(statedir.Answer{HTTPStatus: 200, URL: managerURL, Body: []byte("{}")}))
			hosttest.Must(s.t, poll.Close())
		}, contract.StatePending},
		{"a request beside a set", func(s *site) { pending(s, time.Now(), nil); s.place(s.ca.Issue(s.t).Bundle(s.t)) }, contract.StatePending},
		{"denied", dead(contract.StateDenied), contract.StateDenied},
		{"expired", dead(contract.StateExpired), contract.StateExpired},
		{"by hand", func(s *site) { s.place(s.ca.Issue(s.t).Bundle(s.t)) }, contract.StateForeign},
		{"enrolled", func(s *site) {
			s.place(s.ca.Issue(s.t).Bundle(s.t))
			s.remember(func(p *statedir.Provenance) { p.CAFingerprint = fingerprint(s.ca) })
		}, contract.StateEnrolled},
		{"a set that cannot serve", func(s *site) {
			b := s.ca.Issue(s.t).Bundle(s.t)
			b.ServerKey = s.ca.KeyPEM(s.t)
			s.place(b)
		}, contract.StateAbsent},
	} {
		s := newSite(t)
		c.there(s)
		v := s.seen(nil)
		if got := v.Standing(v.LiveToken()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		v.Describe()
		if v.Result.State != c.want {
			t.Errorf("%s: got the result's %q, want %q", c.name, v.Result.State, c.want)
		}
	}
}

// TestTheFactsOfAResult: of the files and of the manager.
func TestTheFactsOfAResult(t *testing.T) {
	s := newSite(t)
	leaf := s.ca.Issue(t)
	s.place(leaf.Bundle(t))
	s.remember(func(p *statedir.Provenance) {
		p.CAFingerprint, p.ManagerURL, p.ManagerIP, p.MachineID, p.FQDN = fingerprint(s.ca), "https://record.test", managerIP, machineID, "web1.test"
	})
	v := s.seen(func(p *options.Params) { p.ManagerURL = "" })
	v.Describe()
	res := v.Result
	if m := res.Manager; m.URL != "https://record.test" || m.IP != managerIP {
		t.Errorf("got the manager %+v, want the record's", m)
	}
	if c := res.Certificates; c == nil || c.CA.Path != caFile || c.Server.Path != certFile || c.CA.Fingerprint != fingerprint(s.ca) {
		t.Errorf("got the certificates %+v, want those of %s", c, fingerprint(s.ca))
	}
	if k := res.Key; k == nil || *k != (report.Key{Path: keyFile, Mode: "0600"}) {
		t.Errorf("got the key %+v, want %s of mode 0600", k, keyFile)
	}
	if res.MachineID != machineID || res.FQDN != "web1.test" || res.Whitelist.Path != listFile || res.Request != nil || res.PendingSince != "" {
		t.Errorf("got %q, %q, %+v, %+v, %q; want the record's, and no request", res.MachineID, res.FQDN, res.Whitelist, res.Request, res.PendingSince)
	}
	// The option before the record.
	if got := s.seen(nil).ManagerFacts().URL; got != managerURL {
		t.Errorf("got %q, want %q", got, managerURL)
	}
	// What was never looked at has no facts, and none are made up.
	blind := s.view(nil)
	blind.Describe()
	if blind.Result.State != "" || blind.Result.Certificates != nil || blind.Result.Manager.URL != managerURL {
		t.Errorf("got %+v, want the manager's URL alone", blind.Result)
	}
	none := newSite(t).seen(nil)
	if none.Disk.Certificates() != nil || none.Disk.KeyFacts() != nil {
		t.Errorf("got %+v, %+v; want no facts of nothing", none.Disk.Certificates(), none.Disk.KeyFacts())
	}
}

// TestAFailedRunIsNotAbsent: it says how far the host had come.
func TestAFailedRunIsNotAbsent(t *testing.T) {
	s := newSite(t)
	pending(s, time.Now(), nil)
	v := s.seen(nil)
	v.Result.State, v.Result.Failed = contract.StateAbsent, true
	v.Describe()
	if v.Result.State != contract.StatePending || v.Result.PendingSince == "" {
		t.Errorf("got %q since %q, want %q", v.Result.State, v.Result.PendingSince, contract.StatePending)
	}
}

func TestAPendingRequest(t *testing.T) {
	for _, c := range []struct {
		name    string
		age     time.Duration
		machine string
		warned  bool
	}{
		{"new", time.Hour, machineID, false},
		{"about to be forgotten", 20 * time.Hour, machineID, true},
		{"of no machine on record", time.Hour, "", false},
	} {
		s := newSite(t)
		v := s.seen(nil)
		v.Result.MachineID, v.Result.FQDN = "own", "own.test"
		since := time.Now().Add(-c.age)
		v.NotePending(&statedir.Token{Token: token, MachineID: c.machine, FQDN: "sent.test", Since: since})
		if (len(v.Result.Warnings) > 0) != c.warned || v.Result.State != contract.StatePending || v.Result.PendingSince != since.Format(time.RFC3339) {
			t.Errorf("%s: got %q, %q since %q; want it warned of: %v", c.name, v.Result.Warnings, v.Result.State, v.Result.PendingSince, c.warned)
		}
		if want := c.machine; want != "" && v.Result.MachineID != want || want == "" && v.Result.MachineID != "own" {
			t.Errorf("%s: got %q, want %q", c.name, v.Result.MachineID, want)
		}
	}
}

// TestWhatAnApproverCompares: of the request that waits, and of one whose answer
// was lost; the token is never in it.
func TestWhatAnApproverCompares(t *testing.T) {
	hash := approval.TokenSHA256(token)
	sent := &statedir.Request{Proof: "proof", IPAddress: "192.0.2.77", SentAt: time.Unix(0, 0), VerifiedBy: "system", CertificateSHA256: "cd"}
	for _, c := range []struct {
		name   string
		there  func(s *site)
		change func(*options.Params)
		want   *report.Request
		by     string
	}{
		{name: "none", there: func(*site) {}},
		{name: "of this program", there: func(s *site) { pending(s, time.Now(), sent) }, by: "system",
			want: &report.Request{TokenSHA256: hash, Proof: "proof", IPAddress: "192.0.2.77", SentAt: "1970-01-01T00:00:00Z"}},
		{name: "a report has no URL", there: func(s *site) { pending(s, time.Now(), sent) }, change: func(p *options.Params) { p.ManagerURL = "" }, by: "system",
			want: &report.Request{TokenSHA256: hash, Proof: "proof", IPAddress: "192.0.2.77", SentAt: "1970-01-01T00:00:00Z"}},
		{name: "of another program", there: func(s *site) { pending(s, time.Unix(60, 0), nil) }, by: approval.VerifiedByUnknown,
			want: &report.Request{TokenSHA256: hash, SentAt: "1970-01-01T00:01:00Z"}},
		{name: "of a deployed agent", there: func(s *site) { s.Write(configFile, "enrollment:\n  polling_token: "+token+"\n", 0o600) }, by: approval.VerifiedByUnknown,
			want: &report.Request{TokenSHA256: hash}},
		{name: "of a deployed agent that is enrolled", there: func(s *site) {
			s.Write(configFile, "enrollment:\n  polling_token: "+token+"\n", 0o600)
			s.place(s.ca.Issue(s.t).Bundle(s.t))
		}},
		{name: "for another manager", there: func(s *site) { pending(s, time.Now(), sent) }, change: func(p *options.Params) { p.ManagerURL = "https://other.test" }},
	} {
		s := newSite(t)
		c.there(s)
		v := s.seen(c.change)
		m := &report.Manager{}
		got := v.Evidence(m, machineID)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if m.VerifiedBy != c.by {
			t.Errorf("%s: got it verified by %q, want %q", c.name, m.VerifiedBy, c.by)
		}
	}
	// The answer was lost: the proof on disk is all that tells the request.
	s := newSite(t)
	v := s.seen(nil)
	proof, err := v.Disk.Prove(machineID)
	hosttest.Must(t, err)
	slot, err := v.Disk.PrepareRequest()
	hosttest.Must(t, err)
	hosttest.Must(t, slot.Close())
	got := s.seen(nil).Evidence(&report.Manager{}, machineID)
	if got == nil || got.Proof != proof || got.TokenSHA256 != "" || got.SentAt == "" || got.EarlierProof != "" {
		t.Errorf("got %+v, want the proof %s, a time and no token", got, proof)
	}
}
