package approval

import (
	"fmt"
	"time"
)

// Decide gives each host its verdict, in the order of hosts.
func Decide(rows []Row, hosts []Host, o Options) []Verdict {
	l := NewListing(hosts)
	for _, r := range rows {
		l.Add(r)
	}
	return l.Decide(o)
}

// Decide gives each host its verdict, in the order of NewListing's hosts.
func (l *Listing) Decide(o Options) []Verdict {
	d := &decider{Options: o, Listing: l}
	verdicts := make([]Verdict, len(l.hosts))
	for i := range l.hosts {
		v := d.judge(&l.hosts[i])
		v.Compared = compare(&l.hosts[i], v.Row)
		l.suspect(i, &v)
		verdicts[i] = v
	}
	return verdicts
}

type decider struct {
	Options
	*Listing
}

// judge asks the two questions in turn: is it the host's request, and may this
// host have what the request asks for.
func (d *decider) judge(h *Host) Verdict {
	if refused, ok := d.evidence(h); !ok {
		return refused
	}
	v := d.find(h)
	if v.Decision != Approve {
		return v
	}
	return entitled(h, v)
}

// evidence tells whether what the host said may be believed at all.
func (d *decider) evidence(h *Host) (Verdict, bool) {
	e := h.Evidence
	refuse := func(decision Decision, format string, args ...any) (Verdict, bool) {
		return Verdict{Decision: decision, Reason: fmt.Sprintf(format, args...)}, false
	}
	switch {
	case e.InventoryHostname != "" && e.InventoryHostname != h.Name:
		return refuse(WrongEvidence, "the evidence is that of another host of the inventory")
	case e.TokenSHA256 != "" && !isSHA256(e.TokenSHA256):
		return refuse(WrongEvidence, "the evidence holds a token_sha256 that is no SHA-256")
	case e.Enrolled:
		return refuse(Enrolled, "the host is enrolled and waits for nothing")
	case d.fleet.names[fold(h.FQDN)] > 1:
		return refuse(DuplicateName, "two hosts of the inventory are expected to be %s; give each its own enroll_expected_fqdn", Plain(h.FQDN))
	case len(d.fleet.tokens[e.TokenSHA256]) > 1:
		v, ok := refuse(DuplicateEvidence, "%s of the inventory holds the same polling token: one is a copy of the other, or both are the same machine; both are refused",
			Plain(d.fleet.tokens[e.TokenSHA256].other(h.Name)))
		v.Twin = d.fleet.tokens[e.TokenSHA256].other(h.Name)
		return v, ok
	case (e.Connection != ConnectionVerified || e.InventoryHostname == "") && !d.AllowUnverifiedConnection:
		return refuse(UnverifiedConnection, "nothing verified that the evidence comes from this host: use ssh with host key checking, or set allow_unverified_connection")
	case e.TokenSHA256 == "":
		return Verdict{}, true // no registration to doubt
	case e.VerifiedBy == VerifiedByNothing:
		return refuse(UnverifiedRegistration, "the host registered with insecure: anyone who intercepted the connection holds its polling token; deny the request and register again with the manager's CA")
	case (e.VerifiedBy == "" || e.VerifiedBy == VerifiedByUnknown) && !d.AllowUnverifiedRegistration:
		return refuse(UnverifiedRegistration, "it is unknown how the host verified the manager when it registered; set allow_unverified_registration if you know that it did")
	}
	return Verdict{}, true
}

// find finds the host's own request. Nothing but a token's hash or a proof
// chooses it.
func (d *decider) find(h *Host) Verdict {
	e := h.Evidence
	if !isSHA256(e.TokenSHA256) {
		return d.withoutToken(h)
	}
	switch own := d.byToken[e.TokenSHA256]; {
	case len(own) == 1:
		return Verdict{Decision: Approve, Row: &own[0].Row, MatchedBy: ByToken}
	case len(own) > 1:
		return Verdict{Decision: DuplicateEvidence, Reason: fmt.Sprintf("%d requests at the manager have the hash of this host's polling token; none is approved", len(own))}
	case d.showsTokens:
		return Verdict{Decision: NotListed,
			Reason: "the manager lists no request with the hash of this host's polling token: it has expired, or someone has decided it already; run enrollment on the host again"}
	}
	return d.findByProof(h)
}

// findByProof is for a manager that shows no token hashes. A proof can be copied by
// anyone who has seen it, a machine-id too, but not into a second request beside
// the host's own: a machine-id can be pending once.
func (d *decider) findByProof(h *Host) Verdict {
	e := h.Evidence
	if len(e.Proofs) > 0 {
		own := d.byProof[e.Proofs[0]]
		if len(own) == 1 && isMachineID(e.MachineID) && own[0].MachineID == e.MachineID {
			return Verdict{Decision: Approve, Row: &own[0].Row, MatchedBy: ByProof}
		}
		if len(own) > 0 {
			return Verdict{Decision: Unproven, Row: &own[0].Row,
				Reason: "the manager shows no token hashes, and the host's proof stands in another host's request or in several"}
		}
	}
	v := Verdict{Decision: NotListed, Reason: "the manager lists no request of this host: it has expired, or someone has decided it already; run enrollment on the host again"}
	if rows := d.byMachine[e.MachineID]; len(rows) > 0 {
		v = Verdict{Decision: Unproven, Row: &rows[0].Row, Reason: "the manager shows neither a token hash nor a proof for this request; a person has to decide it"}
	}
	return v
}

// withoutToken is for a host that registered and holds no token, or never did.
func (d *decider) withoutToken(h *Host) Verdict {
	e := h.Evidence
	for _, proof := range e.Proofs {
		own := d.byProof[proof]
		if len(own) != 1 || own[0].MachineID != e.MachineID {
			continue
		}
		if own[0].owners.other(h.Name) == "" {
			return d.repair(h, Verdict{Decision: Orphaned, Row: &own[0].Row, Deny: true,
				Reason: "the host sent this request and the manager's answer was lost; it is denied so that the host can register again"})
		}
	}
	rows := d.byMachine[e.MachineID]
	if twin := d.fleet.machines[e.MachineID].other(h.Name); len(rows) == 0 && isMachineID(e.MachineID) && twin != "" {
		return Verdict{Decision: DuplicateMachineID, Twin: twin,
			Reason: fmt.Sprintf("%s has the same machine-id, and the manager takes the two for one; give one of the two a machine-id of its own", Plain(twin))}
	}
	if len(rows) == 0 {
		return Verdict{Decision: NoRequest, Reason: "the host has no request at the manager; run enrollment there first"}
	}
	row := &rows[0].Row
	if twin := rows[0].owners.other(h.Name); twin != "" {
		return Verdict{Decision: DuplicateMachineID, Row: row, Twin: twin,
			Reason: fmt.Sprintf("%s has the same machine-id and owns the request; give one of the two a machine-id of its own", Plain(twin))}
	}
	return d.blocked(h, row)
}

// blocked is a request of someone else in the host's place. It is denied only
// where no other host of the inventory can lose anything by that.
func (d *decider) blocked(h *Host, row *Row) Verdict {
	v := Verdict{Decision: Blocked, Row: row}
	v.Reason = fmt.Sprintf("request %s of %s from %s has this host's machine-id and is not this host's",
		Plain(row.ID), row.CreatedAt.UTC().Format(time.RFC3339), Plain(row.IPAddress))
	switch claims := d.fleet.machines[h.Evidence.MachineID]; {
	case len(claims) > 1:
		v.Twin = claims.other(h.Name)
		v.Reason += fmt.Sprintf("; %s of the inventory has the same machine-id too, so that it is left alone", Plain(v.Twin))
	case !SameName(h.FQDN, row.FQDN):
		v.Reason += fmt.Sprintf("; it asks for the name %s, so that it is left alone", Plain(row.FQDN))
	case !d.DenyBlocked:
		v.Reason += "; deny it at the manager, or set on_blocked to deny, and run again"
	default:
		v.Deny = true
		v.Reason += "; it is denied so that the host can register"
		return d.repair(h, v)
	}
	return v
}

// repair ends the contest with someone who registers again and again.
func (d *decider) repair(h *Host, v Verdict) Verdict {
	if h.Repairs >= MaxRepairs {
		v.Decision, v.Deny = Blocked, false
		v.Reason = fmt.Sprintf("it is registered again by someone else: request %s from %s, after %d were denied in this run", Plain(v.Row.ID), Plain(v.Row.IPAddress), h.Repairs)
	}
	return v
}

// entitled asks whether the inventory gives the host what its request asks for.
func entitled(h *Host, v Verdict) Verdict {
	refuse := func(decision Decision, format string, args ...any) Verdict {
		v.Decision, v.Reason = decision, fmt.Sprintf(format, args...)
		return v
	}
	row := v.Row
	ip, valid := addressOf(row.IPAddress)
	switch {
	case h.FQDN == "" || !SameName(h.FQDN, row.FQDN):
		return refuse(WrongName, "the request asks for the name %s, and the inventory gives this host %s", Plain(row.FQDN), Plain(h.FQDN))
	case !valid:
		return refuse(WrongAddress, "the request names no address: %s", Plain(row.IPAddress))
	case h.AnyAddress:
	case len(h.Addresses) == 0:
		return refuse(AddressUnchecked, "the inventory expects no address for this host, and the request names %s; set enroll_expected_addresses", ip)
	case !within(h.Addresses, ip):
		return refuse(WrongAddress, "the request names the address %s, which the inventory does not expect for this host", ip)
	}
	v.Reason = fmt.Sprintf("the request holds the %s of this host, and its name and address are those of the inventory",
		map[MatchedBy]string{ByToken: "hash of the polling token", ByProof: "enrollment proof"}[v.MatchedBy])
	return v
}
