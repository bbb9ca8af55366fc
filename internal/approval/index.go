package approval

import (
	"net/netip"
	"slices"
	"strings"
)

// Listing is what of a manager's list concerns some hosts. It keeps those
// requests alone: anybody can send others, as many as the manager takes.
type Listing struct {
	hosts []Host
	fleet *fleet

	byToken, byProof, byMachine, byName, byAddress map[string][]*listed
	// showsTokens says that this manager shows the hashes of polling tokens.
	showsTokens bool
}

// listed is a request that concerns a host.
type listed struct {
	Row
	// owners are the hosts that hold the request's token or, where the manager
	// does not show its hash, a token that they asked for with its proof.
	owners owners
	// seen is the number of the host whose suspects counted it last.
	seen int
}

// NewListing makes the listing for these hosts.
func NewListing(hosts []Host) *Listing {
	l := &Listing{
		hosts: hosts, fleet: fleetOf(hosts),
		byToken: map[string][]*listed{}, byProof: map[string][]*listed{}, byMachine: map[string][]*listed{},
		byName: map[string][]*listed{}, byAddress: map[string][]*listed{},
	}
	for i := range hosts {
		l.expect(&hosts[i])
	}
	return l
}

// expect makes the places of all that a host can be recognized or resembled by.
func (l *Listing) expect(h *Host) {
	place := func(in map[string][]*listed, key string, valid bool) {
		if valid {
			in[key] = nil
		}
	}
	e := h.Evidence
	place(l.byToken, e.TokenSHA256, isSHA256(e.TokenSHA256))
	place(l.byMachine, e.MachineID, isMachineID(e.MachineID))
	place(l.byName, fold(h.FQDN), fold(h.FQDN) != "")
	for _, p := range e.Proofs {
		place(l.byProof, p, isProof(p))
	}
	for _, p := range h.Addresses {
		place(l.byAddress, p.Addr().Unmap().String(), p.IsSingleIP())
	}
}

// Add takes one request of the list, and reports whether it concerns a host.
func (l *Listing) Add(r Row) bool {
	l.showsTokens = l.showsTokens || isSHA256(r.TokenSHA256)
	kept := &listed{Row: r, owners: l.fleet.tokens[r.TokenSHA256], seen: -1}
	if !isSHA256(r.TokenSHA256) {
		kept.owners = l.fleet.proofs[r.Proof]
	}
	concerns := false
	put := func(in map[string][]*listed, key string) {
		if rows, expected := in[key]; expected {
			in[key] = append(rows, kept)
			concerns = true
		}
	}
	put(l.byToken, r.TokenSHA256)
	put(l.byProof, r.Proof)
	put(l.byMachine, r.MachineID)
	put(l.byName, fold(r.FQDN))
	if ip, ok := addressOf(r.IPAddress); ok {
		put(l.byAddress, ip.String())
	}
	return concerns
}

// owners are the hosts of the inventory that hold one thing.
type owners []string

func (o owners) other(name string) string {
	for _, n := range o {
		if n != name {
			return n
		}
	}
	return ""
}

// fleet is what the hosts of the inventory claim together.
type fleet struct {
	names                    map[string]int
	tokens, proofs, machines map[string]owners
}

func fleetOf(hosts []Host) *fleet {
	f := &fleet{names: map[string]int{}, tokens: map[string]owners{}, proofs: map[string]owners{}, machines: map[string]owners{}}
	for _, h := range hosts {
		if name := fold(h.FQDN); name != "" {
			f.names[name]++
		}
		if t := h.Evidence.TokenSHA256; isSHA256(t) {
			f.tokens[t] = append(f.tokens[t], h.Name)
			for _, p := range h.Evidence.Proofs {
				f.proofs[p] = append(f.proofs[p], h.Name)
			}
		}
		if m := h.Evidence.MachineID; m != "" {
			f.machines[m] = append(f.machines[m], h.Name)
		}
	}
	return f
}

// resembling are the requests that share a name, a machine-id, a proof or a
// single expected address with a host.
func (l *Listing) resembling(h *Host, each func(*listed)) {
	all := func(rows []*listed) {
		for _, r := range rows {
			each(r)
		}
	}
	all(l.byName[fold(h.FQDN)])
	all(l.byMachine[h.Evidence.MachineID])
	for _, p := range h.Evidence.Proofs {
		all(l.byProof[p])
	}
	for _, p := range h.Addresses {
		if p.IsSingleIP() {
			all(l.byAddress[p.Addr().Unmap().String()])
		}
	}
}

// suspect lists what resembles the host's request and is not it.
func (l *Listing) suspect(number int, v *Verdict) {
	h := &l.hosts[number]
	if v.Decision == Enrolled {
		return
	}
	l.resembling(h, func(r *listed) {
		if r.seen == number || &r.Row == v.Row || r.owners.other(h.Name) != "" {
			return
		}
		r.seen = number
		v.SuspectCount++
		if len(v.Suspects) < MaxSuspects {
			v.Suspects = append(v.Suspects, suspectOf(h, &r.Row))
		}
	})
}

func suspectOf(h *Host, r *Row) Suspect {
	s := Suspect{ID: Plain(r.ID), MachineID: Plain(r.MachineID), FQDN: Plain(r.FQDN), IPAddress: Plain(r.IPAddress), CreatedAt: r.CreatedAt, Same: []string{}}
	// Its own request, where what the host said is not believed.
	if isSHA256(r.TokenSHA256) && r.TokenSHA256 == h.Evidence.TokenSHA256 {
		s.Same = append(s.Same, "token_sha256")
	}
	if fold(r.FQDN) == fold(h.FQDN) {
		s.Same = append(s.Same, "fqdn")
	}
	if r.MachineID == h.Evidence.MachineID {
		s.Same = append(s.Same, "machine_id")
	}
	if slices.Contains(h.Evidence.Proofs, r.Proof) {
		s.Same = append(s.Same, "proof")
	}
	if ip, ok := addressOf(r.IPAddress); ok && within(h.Addresses, ip) {
		s.Same = append(s.Same, "ip_address")
	}
	return s
}

// compare sets what the three sides say side by side.
func compare(h *Host, r *Row) []Comparison {
	if r == nil {
		r = &Row{}
	}
	proof := ""
	if len(h.Evidence.Proofs) > 0 {
		proof = h.Evidence.Proofs[0]
	}
	return []Comparison{
		{"token_sha256", "", Plain(h.Evidence.TokenSHA256), Plain(r.TokenSHA256)},
		{"proof", "", Plain(proof), Plain(r.Proof)},
		{"machine_id", "", Plain(h.Evidence.MachineID), Plain(r.MachineID)},
		{"fqdn", Plain(h.FQDN), "", Plain(r.FQDN)},
		{"ip_address", addressesOf(h), "", Plain(r.IPAddress)},
	}
}

func addressesOf(h *Host) string {
	if h.AnyAddress {
		return "any"
	}
	texts := make([]string, len(h.Addresses))
	for i, p := range h.Addresses {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

func within(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}
