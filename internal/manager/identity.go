package manager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

const (
	maxOSDetails = 4 << 10
	maxAddresses = 64
)

// request is the body of a registration, written from the contract. Fields
// that it does not know are ignored.
type request struct {
	MachineID   string          `json:"machine_id"`
	FQDN        string          `json:"fqdn"`
	Hostname    string          `json:"hostname"`
	IPAddress   string          `json:"ip_address"`
	IPAddresses []string        `json:"ip_addresses"`
	OSDetails   json.RawMessage `json:"os_details"`
}

// parseRequest checks what a host claims to be. Its errors are shown to the
// host, so they repeat nothing of the body.
func parseRequest(body []byte) (Pending, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return Pending{}, errors.New("the body is not the JSON object of an enrollment request")
	}
	p := Pending{MachineID: r.MachineID, FQDN: r.FQDN}
	if err := checkMachineID(r.MachineID); err != nil {
		return Pending{}, err
	}
	if err := checkFQDN(r.FQDN); err != nil {
		return Pending{}, fmt.Errorf("fqdn %w", err)
	}
	if r.Hostname != "" {
		if err := checkFQDN(r.Hostname); err != nil {
			return Pending{}, fmt.Errorf("hostname %w", err)
		}
		p.Hostname = r.Hostname
	}
	ip, err := parseIP(r.IPAddress)
	if err != nil {
		return Pending{}, fmt.Errorf("ip_address %w", err)
	}
	p.IPAddress = ip
	if len(r.IPAddresses) > maxAddresses {
		return Pending{}, fmt.Errorf("ip_addresses has more than %d entries", maxAddresses)
	}
	p.IPAddresses = []netip.Addr{}
	for _, a := range r.IPAddresses {
		ip, err := parseIP(a)
		if err != nil {
			return Pending{}, fmt.Errorf("an entry of ip_addresses %w", err)
		}
		p.IPAddresses = append(p.IPAddresses, ip)
	}
	if p.OSDetails, err = checkOSDetails(r.OSDetails); err != nil {
		return Pending{}, err
	}
	return p, nil
}

// checkMachineID: see machine-id(5), which rules out the all-zero one.
func checkMachineID(id string) error {
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return errors.New("machine_id is not 32 lower-case hexadecimal digits")
	}
	return nil
}

// checkFQDN: RFC 1123 section 2.1, no trailing dot, and no IP address. Hosts with
// an underscore in their name are there, and take part.
func checkFQDN(name string) error {
	if name == "" || len(name) > 253 {
		return errors.New("is empty or longer than 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, alphabet+"-_") != "" {
			return errors.New("is not a host name")
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return errors.New("is an IP address")
	}
	return nil
}

// parseIP takes what a database column of type INET takes and a manager can
// dial: one address, without zone.
func parseIP(text string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, errors.New("is not an IP address")
	}
	ip = ip.Unmap()
	if ip.IsUnspecified() || ip.IsMulticast() {
		return netip.Addr{}, errors.New("is not the address of a host")
	}
	return ip, nil
}

// checkOSDetails keeps the object as it came, as deployed managers do.
func checkOSDetails(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return json.RawMessage("{}"), nil
	}
	var out bytes.Buffer
	if raw[0] != '{' || json.Compact(&out, raw) != nil {
		return nil, errors.New("os_details is not an object")
	}
	if out.Len() > maxOSDetails {
		return nil, fmt.Errorf("os_details is longer than %d bytes", maxOSDetails)
	}
	return out.Bytes(), nil
}
