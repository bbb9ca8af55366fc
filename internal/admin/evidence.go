package admin

import (
	"encoding/json"
	"strings"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
)

// evidenceOf reads what a host said. A host can say anything: what is not of
// the documented type is not there.
func evidenceOf(raw json.RawMessage) approval.Evidence {
	result := object(raw)
	request, manager := object(result["request"]), object(result["manager"])
	e := approval.Evidence{
		InventoryHostname: text(request["inventory_hostname"]),
		Connection:        text(request["connection"]),
		Enrolled:          text(result["state"]) == string(contract.StateEnrolled) && string(result["failed"]) != "true",
		MachineID:         text(result["machine_id"]),
		TokenSHA256:       strings.ToLower(text(request["token_sha256"])),
		VerifiedBy:        text(manager["verified_by"]),
	}
	for _, name := range []string{"proof", "earlier_proof"} {
		if p := text(request[name]); p != "" {
			e.Proofs = append(e.Proofs, p)
		}
	}
	return e
}

// evidence is what the host's result says. Whether it came over a verified
// connection is believed only where the action plugin has written it: on the
// command line nothing stands between a host's own words and this program.
func (h HostEntry) evidence() approval.Evidence {
	e := evidenceOf(h.Evidence)
	if !h.marked {
		e.Connection = ""
	}
	return e
}

// serialOf is the serial number of the certificate that a host installed.
func serialOf(raw json.RawMessage) string {
	certificates := object(object(raw)["certificates"])
	return text(object(certificates["server"])["serial"])
}

func errorCodeOf(raw json.RawMessage) contract.Code {
	return contract.Code(text(object(object(raw)["error"])["code"]))
}

func object(raw json.RawMessage) map[string]json.RawMessage {
	var o map[string]json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil || len(s) > 1024 {
		return ""
	}
	return s
}

// hostOf makes the decision's input of an entry, whose addresses are checked.
func hostOf(h HostEntry) approval.Host {
	networks, anyAddress, _ := addresses(h.Addresses)
	return approval.Host{
		Name: h.Name, FQDN: h.FQDN, Addresses: networks, AnyAddress: anyAddress,
		Evidence: h.evidence(), Repairs: h.Repairs,
	}
}
