package approval

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	machineA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	machineB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	machineX = "cccccccccccccccccccccccccccccccc"
)

var (
	tokenA  = strings.Repeat("1a", 32)
	tokenB  = strings.Repeat("2b", 32)
	tokenX  = strings.Repeat("3c", 32)
	proofA  = "v1:" + strings.Repeat("4d", 32)
	proofB  = "v1:" + strings.Repeat("5e", 32)
	created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// rowOf is a request, and with is how a test changes it.
func rowOf(id, machine, fqdn, ip, token, proof string) Row {
	return Row{ID: id, MachineID: machine, FQDN: fqdn, IPAddress: ip, TokenSHA256: token, Proof: proof, CreatedAt: created}
}

func hostA() Host {
	return Host{
		Name: "a", FQDN: "a.example.com", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")},
		Evidence: Evidence{
			InventoryHostname: "a", Connection: ConnectionVerified, MachineID: machineA,
			TokenSHA256: tokenA, Proofs: []string{proofA}, VerifiedBy: "manager_ca_path",
		},
	}
}

func hostB() Host {
	return Host{
		Name: "b", FQDN: "b.example.com", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")},
		Evidence: Evidence{
			InventoryHostname: "b", Connection: ConnectionVerified, MachineID: machineB,
			TokenSHA256: tokenB, Proofs: []string{proofB}, VerifiedBy: "manager_ca_path",
		},
	}
}

var ownA = rowOf("own-a", machineA, "a.example.com", "192.0.2.1/32", tokenA, proofA)

func without(h Host, change func(*Host)) Host {
	change(&h)
	return h
}

// lost is a host that registered and holds no token.
func lost(h Host) Host {
	return without(h, func(h *Host) { h.Evidence.TokenSHA256 = "" })
}

func hidden(r Row) Row {
	r.TokenSHA256 = ""
	return r
}

// Each case is a line of the table of attacks and accidents.
func TestDecide(t *testing.T) {
	planted := rowOf("planted", machineX, "a.example.com", "192.0.2.1/32", tokenX, "")
	squat := rowOf("squat", machineA, "a.example.com", "192.0.2.66/32", tokenX, "")
	deny := Options{DenyBlocked: true}
	tests := []struct {
		name     string
		rows     []Row
		hosts    []Host
		options  Options
		want     Decision
		row      string
		by       MatchedBy
		deny     bool
		suspects []string
		reason   string
	}{
		{name: "its own request", rows: []Row{ownA}, hosts: []Host{hostA()}, want: Approve, row: "own-a", by: ByToken},
		{name: "name in other letter case", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.FQDN = "A.Example.COM." })}, want: Approve, row: "own-a", by: ByToken},
		{name: "planted after ours", rows: []Row{planted, ownA}, hosts: []Host{hostA()}, want: Approve, row: "own-a", by: ByToken, suspects: []string{"planted"}},
		{name: "planted before ours", rows: []Row{ownA, planted}, hosts: []Host{hostA()}, want: Approve, row: "own-a", by: ByToken, suspects: []string{"planted"}},
		{name: "planted with our proof copied", rows: []Row{rowOf("copy", machineX, "a.example.com", "192.0.2.1/32", tokenX, proofA), ownA}, hosts: []Host{hostA()},
			want: Approve, row: "own-a", by: ByToken, suspects: []string{"copy"}},
		{name: "planted alone", rows: []Row{planted}, hosts: []Host{hostA()}, want: NotListed, suspects: []string{"planted"}},
		{name: "planted alone with our proof", rows: []Row{rowOf("copy", machineX, "a.example.com", "192.0.2.1/32", tokenX, proofA)}, hosts: []Host{hostA()},
			want: NotListed, suspects: []string{"copy"}},
		{name: "look-alikes", rows: []Row{
			rowOf("case", machineX, "A.EXAMPLE.COM", "192.0.2.9/32", tokenX, ""),
			rowOf("dot", machineX, "a.example.com.", "192.0.2.9/32", tokenX, ""),
			rowOf("blank", machineX, "a.example.com\u200b ", "192.0.2.9/32", tokenX, ""), ownA},
			hosts: []Host{hostA()}, want: Approve, row: "own-a", by: ByToken, suspects: []string{"case", "dot", "blank"}},
		{name: "our machine-id registered first", rows: []Row{squat}, hosts: []Host{lost(hostA())}, want: Blocked, row: "squat", reason: "set on_blocked to deny"},
		{name: "blocked, to be denied", rows: []Row{squat}, hosts: []Host{lost(hostA())}, options: deny, want: Blocked, row: "squat", deny: true},
		{name: "blocked with another name", rows: []Row{rowOf("squat", machineA, "x.example.com", "192.0.2.66/32", tokenX, "")}, hosts: []Host{lost(hostA())}, options: deny,
			want: Blocked, row: "squat", reason: "asks for the name x.example.com"},
		{name: "blocked and claimed by another host", rows: []Row{squat}, hosts: []Host{lost(hostA()), lost(without(hostB(), func(h *Host) { h.Evidence.MachineID = machineA }))}, options: deny,
			want: Blocked, row: "squat", reason: "b of the inventory has the same machine-id"},
		{name: "blocked again and again", rows: []Row{squat}, hosts: []Host{without(lost(hostA()), func(h *Host) { h.Repairs = 2 })}, options: deny,
			want: Blocked, row: "squat", reason: "registered again by someone else"},
		{name: "blocked by a copy of the proof again and again", rows: []Row{rowOf("copy", machineA, "a.example.com", "192.0.2.66/32", tokenX, proofA)},
			hosts: []Host{without(lost(hostA()), func(h *Host) { h.Repairs = 2 })}, want: Blocked, row: "copy", reason: "registered again by someone else"},
		{name: "our own request, answer lost", rows: []Row{ownA}, hosts: []Host{lost(hostA())}, want: Orphaned, row: "own-a", deny: true},
		{name: "an earlier request of ours, answer lost", rows: []Row{ownA}, hosts: []Host{without(lost(hostA()), func(h *Host) { h.Evidence.Proofs = []string{proofB, proofA} })},
			want: Orphaned, row: "own-a", deny: true},
		{name: "our proof at another machine-id, answer lost", rows: []Row{rowOf("copy", machineX, "a.example.com", "192.0.2.1/32", tokenX, proofA)}, hosts: []Host{lost(hostA())},
			want: NoRequest, suspects: []string{"copy"}},
		{name: "a name of another host", rows: []Row{rowOf("own-b", machineB, "a.example.com", "192.0.2.2/32", tokenB, proofB)}, hosts: []Host{hostB()}, want: WrongName, row: "own-b", by: ByToken},
		{name: "an address of another host", rows: []Row{rowOf("own-b", machineB, "b.example.com", "192.0.2.1/32", tokenB, proofB)}, hosts: []Host{hostB()}, want: WrongAddress, row: "own-b", by: ByToken},
		{name: "no address", rows: []Row{rowOf("own-a", machineA, "a.example.com", "nowhere", tokenA, proofA)}, hosts: []Host{without(hostA(), func(h *Host) { h.AnyAddress = true })}, want: WrongAddress, row: "own-a", by: ByToken},
		{name: "a name that only folds to ours", rows: []Row{rowOf("own-a", machineA, "a.e\u212aample.com", "192.0.2.1", tokenA, proofA)},
			hosts: []Host{without(hostA(), func(h *Host) { h.FQDN = "a.ekample.com" })}, want: WrongName, row: "own-a", by: ByToken},
		{name: "no expected name", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.FQDN = "" })}, want: WrongName, row: "own-a", by: ByToken},
		{name: "two hosts, one machine-id", rows: []Row{ownA}, hosts: []Host{lost(without(hostB(), func(h *Host) { h.Evidence.MachineID = machineA })), hostA()}, options: deny,
			want: DuplicateMachineID, row: "own-a", reason: "a has the same machine-id and owns the request"},
		{name: "a clone with our nonce and no token", rows: []Row{ownA}, hosts: []Host{lost(without(hostB(), func(h *Host) { h.Evidence.MachineID, h.Evidence.Proofs = machineA, []string{proofA} })), hostA()},
			options: deny, want: DuplicateMachineID, row: "own-a", reason: "a has the same machine-id and owns the request"},
		{name: "hash hidden, a clone with our nonce and no token", rows: []Row{hidden(ownA)}, hosts: []Host{lost(without(hostB(), func(h *Host) { h.Evidence.MachineID, h.Evidence.Proofs = machineA, []string{proofA} })), hostA()},
			options: deny, want: DuplicateMachineID, row: "own-a", reason: "a has the same machine-id and owns the request"},
		{name: "two hosts, one machine-id, and the other's request approved", hosts: []Host{lost(without(hostB(), func(h *Host) { h.Evidence.MachineID = machineA })),
			without(lost(hostA()), func(h *Host) { h.Evidence.Enrolled = true })}, want: DuplicateMachineID, reason: "a has the same machine-id, and the manager takes the two for one"},
		{name: "one token at two hosts", rows: []Row{ownA}, hosts: []Host{hostA(), without(hostB(), func(h *Host) { h.Evidence.TokenSHA256 = tokenA })}, want: DuplicateEvidence, suspects: nil},
		{name: "one token in two requests", rows: []Row{ownA, rowOf("twice", machineX, "a.example.com", "192.0.2.1", tokenA, "")}, hosts: []Host{hostA()}, want: DuplicateEvidence,
			suspects: []string{"own-a", "twice"}},
		{name: "two hosts, one name", rows: []Row{ownA}, hosts: []Host{hostA(), without(hostB(), func(h *Host) { h.FQDN = "A.example.com" })}, want: DuplicateName, suspects: []string{"own-a"}},
		{name: "registered with insecure", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Evidence.VerifiedBy = VerifiedByNothing })},
			options: Options{AllowUnverifiedRegistration: true}, want: UnverifiedRegistration, suspects: []string{"own-a"}},
		{name: "registered by a deployed agent", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Evidence.VerifiedBy = VerifiedByUnknown })}, want: UnverifiedRegistration, suspects: []string{"own-a"}},
		{name: "registered by a deployed agent, allowed", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Evidence.VerifiedBy = VerifiedByUnknown })},
			options: Options{AllowUnverifiedRegistration: true}, want: Approve, row: "own-a", by: ByToken},
		{name: "connection not verified", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Evidence.Connection = "ssh without host key checking" })}, want: UnverifiedConnection, suspects: []string{"own-a"}},
		{name: "connection not verified, allowed", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Evidence.Connection = "" })},
			options: Options{AllowUnverifiedConnection: true}, want: Approve, row: "own-a", by: ByToken},
		{name: "evidence of nobody", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Evidence.InventoryHostname = "" })}, want: UnverifiedConnection, suspects: []string{"own-a"}},
		{name: "evidence of another host", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Evidence.InventoryHostname = "b" })},
			options: Options{AllowUnverifiedConnection: true}, want: WrongEvidence, suspects: []string{"own-a"}},
		{name: "no expected address", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Addresses = nil })}, want: AddressUnchecked, row: "own-a", by: ByToken},
		{name: "any address", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Addresses, h.AnyAddress = nil, true })}, want: Approve, row: "own-a", by: ByToken},
		{name: "an expected network", rows: []Row{ownA}, hosts: []Host{without(hostA(), func(h *Host) { h.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })}, want: Approve, row: "own-a", by: ByToken},
		{name: "enrolled", rows: []Row{planted}, hosts: []Host{without(lost(hostA()), func(h *Host) { h.Evidence.Enrolled = true })}, want: Enrolled},
		{name: "never registered", hosts: []Host{{Name: "a", FQDN: "a.example.com", Evidence: Evidence{InventoryHostname: "a", Connection: ConnectionVerified, MachineID: machineA}}}, want: NoRequest},

		{name: "hash hidden", rows: []Row{hidden(ownA)}, hosts: []Host{hostA()}, want: Approve, row: "own-a", by: ByProof},
		{name: "hash hidden, proof at another machine-id", rows: []Row{hidden(rowOf("copy", machineX, "a.example.com", "192.0.2.1", "", proofA))}, hosts: []Host{hostA()}, want: Unproven, row: "copy"},
		{name: "hash hidden, proof twice", rows: []Row{hidden(ownA), rowOf("copy", machineX, "a.example.com", "192.0.2.1", "", proofA)}, hosts: []Host{hostA()}, want: Unproven, row: "own-a", suspects: []string{"copy"}},
		{name: "hash and proof hidden", rows: []Row{rowOf("own-a", machineA, "a.example.com", "192.0.2.1", "", "")}, hosts: []Host{hostA()}, want: Unproven, row: "own-a"},
		{name: "hash hidden, no token", rows: []Row{hidden(ownA)}, hosts: []Host{lost(hostA())}, want: Orphaned, row: "own-a", deny: true},
		{name: "hash hidden here and shown elsewhere", rows: []Row{hidden(ownA), planted}, hosts: []Host{hostA()}, want: NotListed, suspects: []string{"own-a", "planted"}},
		{name: "hash in upper case", rows: []Row{rowOf("own-a", machineA, "a.example.com", "192.0.2.1", strings.ToUpper(tokenA), "")}, hosts: []Host{hostA()}, want: Unproven, row: "own-a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(tt.rows, tt.hosts, tt.options)[0]
			row := ""
			if got.Row != nil {
				row = got.Row.ID
			}
			if got.Decision != tt.want || row != tt.row || got.MatchedBy != tt.by || got.Deny != tt.deny {
				t.Errorf("got %s, row %q by %q, deny %t (%s); want %s, row %q by %q, deny %t",
					got.Decision, row, got.MatchedBy, got.Deny, got.Reason, tt.want, tt.row, tt.by, tt.deny)
			}
			if got.Reason == "" || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("got reason %q, want %q in it", got.Reason, tt.reason)
			}
			if ids := suspectIDs(got); !slices.Equal(ids, tt.suspects) {
				t.Errorf("got suspects %q, want %q", ids, tt.suspects)
			}
		})
	}
}

func suspectIDs(v Verdict) []string {
	var ids []string
	for _, s := range v.Suspects {
		ids = append(ids, s.ID)
	}
	return ids
}

// What someone plants is listed up to a bound, counted, and never speaks to a
// terminal.
func TestSuspectsAreBoundedAndPlain(t *testing.T) {
	rows := []Row{ownA}
	for range 3 * MaxSuspects {
		rows = append(rows, rowOf("\x1b[2Jid", machineX, "a.example.com\u202e", "192.0.2.1/32", tokenX, ""))
	}
	v := Decide(rows, []Host{hostA()}, Options{})[0]
	if v.Decision != Approve || len(v.Suspects) != MaxSuspects || v.SuspectCount != 3*MaxSuspects {
		t.Errorf("got %s with %d suspects of %d, want approve with %d of %d", v.Decision, len(v.Suspects), v.SuspectCount, MaxSuspects, 3*MaxSuspects)
	}
	if s := v.Suspects[0]; s.ID != "\ufffd[2Jid" || s.FQDN != "a.example.com\ufffd" {
		t.Errorf("got %q, want it plain", s)
	}
}

// What concerns no host is not kept, whatever it holds, and still tells that the
// manager shows token hashes.
func TestListingKeepsWhatConcernsAHost(t *testing.T) {
	l := NewListing([]Host{hostA()})
	for id, r := range map[string]Row{
		"name":     rowOf("", machineX, "A.example.com.", "203.0.113.1", "", ""),
		"machine":  rowOf("", machineA, "x.example.org", "203.0.113.1", "", ""),
		"address":  rowOf("", machineX, "x.example.org", "::ffff:192.0.2.1", "", ""),
		"proof":    rowOf("", machineX, "x.example.org", "203.0.113.1", "", proofA),
		"token":    rowOf("", machineX, "x.example.org", "203.0.113.1", tokenA, ""),
		"stranger": rowOf("", machineX, "x.example.org", "203.0.113.1", "", proofB),
		"empty":    {},
	} {
		if got, want := l.Add(r), id != "stranger" && id != "empty"; got != want {
			t.Errorf("%s: got %t, want %t", id, got, want)
		}
	}
	l = NewListing([]Host{hostA()})
	l.Add(hidden(ownA))
	l.Add(rowOf("stranger", machineX, "x.example.org", "203.0.113.1", tokenX, ""))
	if v := l.Decide(Options{})[0]; v.Decision != NotListed {
		t.Errorf("got %s (%s), want the proof alone to approve nothing where others' hashes are shown", v.Decision, v.Reason)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(tokenA, proofA, machineA, "a.example.com", "192.0.2.1/32", tokenA, proofA, machineA, uint8(0))
	f.Add(tokenX, proofA, machineA, "a.example.com", "192.0.2.1", "", proofA, machineA, uint8(7))
	f.Add("", proofA, machineA, "a.example.com.", "192.0.2.1/24", tokenA, proofA, machineA, uint8(1))
	f.Fuzz(func(t *testing.T, rowToken, rowProof, rowMachine, fqdn, ip, token, proof, machine string, flags uint8) {
		h := hostA()
		h.Evidence.TokenSHA256, h.Evidence.Proofs, h.Evidence.MachineID = token, []string{proof}, machine
		h.AnyAddress = flags&8 != 0
		rows := []Row{rowOf("r", rowMachine, fqdn, ip, rowToken, rowProof)}
		if flags&16 != 0 {
			rows = append(rows, rowOf("s", machineX, fqdn, ip, tokenX, rowProof))
		}
		v := Decide(rows, []Host{h}, Options{flags&1 != 0, flags&2 != 0, flags&4 != 0})[0]
		if v.Decision != Approve {
			return
		}
		byToken := token != "" && v.Row.TokenSHA256 == token
		byProof := len(rows) == 1 && token != "" && !isSHA256(v.Row.TokenSHA256) && v.Row.Proof == proof && isProof(proof) && v.Row.MachineID == machine
		if !byToken && !byProof {
			t.Errorf("approved %+v for a host that holds token hash %q and proof %q", *v.Row, token, proof)
		}
		if lower(v.Row.FQDN) != h.FQDN {
			t.Errorf("approved the name %q for a host that is expected to be %q", v.Row.FQDN, h.FQDN)
		}
		if got, ok := addressOf(v.Row.IPAddress); !h.AnyAddress && (!ok || got != netip.MustParseAddr("192.0.2.1")) {
			t.Errorf("approved the address %q for a host at 192.0.2.1", v.Row.IPAddress)
		}
	})
}
