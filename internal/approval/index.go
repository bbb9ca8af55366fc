package approval

import (
	"net/netip"
	"slices"
	"strings"
)

// rowIndex finds requests by what they show.
type rowIndex struct {
	byToken, byProof, byMachine, byName, byAddress map[string][]*Row
	// showsTokens says that this manager shows the hashes of polling tokens.
	showsTokens bool
}

func index(rows []Row) *rowIndex {
	x := &rowIndex{
		byToken: map[string][]*Row{}, byProof: map[string][]*Row{}, byMachine: map[string][]*Row{},
		byName: map[string][]*Row{}, byAddress: map[string][]*Row{},
	}
	for i := range rows {
		x.add(&rows[i])
	}
	return x
}

func (x *rowIndex) add(r *Row) {
	if isSHA256(r.TokenSHA256) {
		x.showsTokens = true
		x.byToken[r.TokenSHA256] = append(x.byToken[r.TokenSHA256], r)
	}
	if isProof(r.Proof) {
		x.byProof[r.Proof] = append(x.byProof[r.Proof], r)
	}
	x.byMachine[r.MachineID] = append(x.byMachine[r.MachineID], r)
	name := fold(r.FQDN)
	x.byName[name] = append(x.byName[name], r)
	if ip, ok := addressOf(r.IPAddress); ok {
		x.byAddress[ip.String()] = append(x.byAddress[ip.String()], r)
	}
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
	names            map[string]int
	tokens, machines map[string]owners
}

func fleetOf(hosts []Host) *fleet {
	f := &fleet{names: map[string]int{}, tokens: map[string]owners{}, machines: map[string]owners{}}
	for _, h := range hosts {
		if name := fold(h.FQDN); name != "" {
			f.names[name]++
		}
		if t := h.Evidence.TokenSHA256; t != "" {
			f.tokens[t] = append(f.tokens[t], h.Name)
		}
		if m := h.Evidence.MachineID; m != "" {
			f.machines[m] = append(f.machines[m], h.Name)
		}
	}
	return f
}

// owner is another host of the inventory that holds the request's token.
func (f *fleet) owner(r *Row, of *Host) string {
	if !isSHA256(r.TokenSHA256) {
		return ""
	}
	return f.tokens[r.TokenSHA256].other(of.Name)
}

// resembling are the requests that share a name, a machine-id, a proof or a
// single expected address with a host.
func (d *decider) resembling(h *Host) []*Row {
	var found []*Row
	if name := fold(h.FQDN); name != "" {
		found = append(found, d.rows.byName[name]...)
	}
	if isMachineID(h.Evidence.MachineID) {
		found = append(found, d.rows.byMachine[h.Evidence.MachineID]...)
	}
	for _, p := range h.Evidence.Proofs {
		found = append(found, d.rows.byProof[p]...)
	}
	for _, p := range h.Addresses {
		if p.IsSingleIP() {
			found = append(found, d.rows.byAddress[p.Addr().Unmap().String()]...)
		}
	}
	return found
}

// suspect lists what resembles the host's request and is not it.
func (d *decider) suspect(h *Host, v *Verdict) {
	if v.Decision == Enrolled {
		return
	}
	seen := map[*Row]bool{v.Row: true}
	for _, r := range d.resembling(h) {
		if seen[r] || d.fleet.owner(r, h) != "" {
			continue
		}
		seen[r] = true
		v.SuspectCount++
		if len(v.Suspects) < MaxSuspects {
			v.Suspects = append(v.Suspects, suspectOf(h, r))
		}
	}
}

func suspectOf(h *Host, r *Row) Suspect {
	s := Suspect{ID: Plain(r.ID), MachineID: Plain(r.MachineID), FQDN: Plain(r.FQDN), IPAddress: Plain(r.IPAddress), CreatedAt: r.CreatedAt, Same: []string{}}
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
