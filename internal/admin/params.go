package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/jsontext"
	"github.com/linux-patch/enroll/internal/nearest"
	"github.com/linux-patch/enroll/internal/plaintext"
)

// Connection are the options that all commands share. What is said of those of
// the modules is in options.yaml. The tags: the value of a secret one appears in
// no output; a shared one may be given for all modules of the group at once.
type Connection struct {
	ManagerURL           string `json:"manager_url" shared:"true"`
	ManagerCAPath        string `json:"manager_ca_path" shared:"true"`
	ManagerCAPEM         string `json:"manager_ca_pem" shared:"true"`
	ManagerCAFingerprint string `json:"manager_ca_fingerprint" shared:"true"`
	ProxyURL             string `json:"proxy_url" secret:"true" shared:"true"`

	Username    string `json:"username" shared:"true"`
	Password    string `json:"password" secret:"true" shared:"true"`
	TOTPSecret  string `json:"totp_secret" secret:"true" shared:"true"`
	TOTPCode    string `json:"totp_code" secret:"true" shared:"true"`
	AccessToken string `json:"access_token" secret:"true" shared:"true"`

	// SessionPath keeps the login between the commands of one run.
	SessionPath string `json:"session_path"`
	KeepSession bool   `json:"keep_session"`
	// LockDir is where the steps of TOTP codes that served are kept.
	LockDir   string `json:"lock_dir"`
	AuditPath string `json:"audit_path" shared:"true"`
	// Timeout is in seconds, for all of the command.
	Timeout int `json:"timeout"`
}

// HostEntry is one host of the inventory.
type HostEntry struct {
	Name string `json:"name"`
	FQDN string `json:"fqdn"`
	// Addresses are the expected ones: a list, or a text with commas; "any".
	Addresses json.RawMessage `json:"addresses"`
	// Evidence is the host's enrollment result, as it came.
	Evidence json.RawMessage `json:"evidence"`
	// RequestID is what was approved for the host earlier in this run.
	RequestID string `json:"request_id"`
	// Repairs counts what was denied in the host's place in this run.
	Repairs int `json:"repairs"`
	// Decide is false for a host that is only known: nothing is decided about it,
	// and what it holds and is called is no one else's.
	Decide *bool `json:"decide"`
	// marked says that the action plugin has written name and connection over
	// whatever the host said of them.
	marked bool
}

func (h HostEntry) onlyKnown() bool { return h.Decide != nil && !*h.Decide }

// ApproveParams are the options of approve.
type ApproveParams struct {
	Connection
	State                       string      `json:"state"`
	Hosts                       []HostEntry `json:"hosts"`
	OnBlocked                   string      `json:"on_blocked"`
	OnExisting                  string      `json:"on_existing"`
	Groups                      []string    `json:"groups"`
	AllowUnverifiedConnection   bool        `json:"allow_unverified_connection"`
	AllowUnverifiedRegistration bool        `json:"allow_unverified_registration"`
}

// RequestsParams are the options of requests.
type RequestsParams struct {
	Connection
	FQDN      string `json:"fqdn"`
	MachineID string `json:"machine_id"`
	Limit     int    `json:"limit"`
}

// The values of State.
const (
	StateApproved  = "approved"
	StateDenied    = "denied"
	StateWithdrawn = "withdrawn"
	// StateClosed compares what hosts installed with what the manager issued.
	StateClosed = "closed"
)

// The values of OnBlocked and OnExisting.
const (
	doReport  = "report"
	doDeny    = "deny"
	doReissue = "reissue"
	doReplace = "replace"
)

const (
	maxArguments   = 64 << 20
	defaultTimeout = 1800
	defaultLimit   = 1000
	maxHosts       = 20_000
)

// decode reads the arguments into p, which must be a pointer to a struct with
// json tags. No message quotes a value: it may be a secret.
func decode(raw []byte, p any) (check bool, err error) {
	values, err := jsontext.Object[json.RawMessage](raw)
	if err != nil {
		return false, contract.Errorf(contract.CodeInvalidArgument, "the arguments are not one JSON object: %w", err)
	}
	marked := false
	known := names(reflect.TypeOf(p).Elem())
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case name == "_ansible_check_mode":
			check = string(values[name]) == "true"
		case name == "_ansible_evidence_marked":
			marked = string(values[name]) == "true"
		case strings.HasPrefix(name, "_ansible_"):
		case !slices.Contains(known, name):
			return false, contract.Errorf(contract.CodeInvalidArgument, "unsupported arguments: %s; supported are: %s%s", clip(name), strings.Join(known, ", "), nearest.Meant(name, known))
		case strings.HasPrefix(name, "manager_ca_") && strings.Trim(string(values[name]), "\" ") == "":
			return false, contract.Errorf(contract.CodeInvalidArgument, "%s is empty: an option that names trust never means none; leave it out", name)
		default:
			continue
		}
		delete(values, name)
	}
	clean, err := json.Marshal(values)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(clean))
		d.DisallowUnknownFields() // of the entries of hosts
		err = d.Decode(p)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return false, contract.Errorf(contract.CodeInvalidArgument, "argument '%s' is of type %s and must be %s", strings.TrimPrefix(wrong.Field, "Connection."), strings.Fields(wrong.Value)[0], kindOf(wrong.Type))
	}
	if err != nil {
		return false, contract.Errorf(contract.CodeInvalidArgument, "the arguments cannot be read: %s", clip(err.Error()))
	}
	if a, ok := p.(*ApproveParams); ok {
		for i := range a.Hosts {
			a.Hosts[i].marked = marked
		}
	}
	return check, nil
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Struct:
		return "dict"
	default:
		return t.Kind().String()
	}
}

// secrets are the values of the secret options.
func (c *Connection) secrets() (values []string) {
	for f, v := range reflect.ValueOf(*c).Fields() {
		if f.Tag.Get("secret") != "" {
			values = append(values, v.String())
		}
	}
	return values
}

// names are the json names of a struct's fields, in order.
func names(t reflect.Type) []string {
	var all []string
	for f := range t.Fields() {
		if f.Anonymous {
			all = append(all, names(f.Type)...)
			continue
		}
		all = append(all, f.Tag.Get("json"))
	}
	slices.Sort(all)
	return all
}

func clip(s string) string { return plaintext.Line(s, 64) }

func oneOf(name, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return contract.Errorf(contract.CodeInvalidArgument, "value of %s must be one of: %s, got: %s", name, strings.Join(allowed, ", "), clip(value))
}

// settle fills in defaults, and refuses what cannot be meant.
func (p *ApproveParams) settle() error {
	p.State = cmp.Or(p.State, StateApproved)
	p.OnBlocked, p.OnExisting = cmp.Or(p.OnBlocked, doReport), cmp.Or(p.OnExisting, doReport)
	if err := errors.Join(
		oneOf("state", p.State, StateApproved, StateDenied, StateWithdrawn, StateClosed),
		oneOf("on_blocked", p.OnBlocked, doReport, doDeny),
		oneOf("on_existing", p.OnExisting, doReport, doReissue, doReplace),
	); err != nil {
		return contract.Errorf(contract.CodeInvalidArgument, "%w", err)
	}
	if len(p.Hosts) > maxHosts {
		return contract.Errorf(contract.CodeInvalidArgument, "hosts lists more than %d hosts; approve in waves", maxHosts)
	}
	seen := map[string]bool{}
	for i, h := range p.Hosts {
		switch {
		case h.Name == "":
			return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: name, in entry %d of hosts", i+1)
		case seen[h.Name]:
			return contract.Errorf(contract.CodeInvalidArgument, "hosts lists %s twice", clip(h.Name))
		case h.FQDN == "":
			return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: fqdn, of %s in hosts", clip(h.Name))
		case h.Repairs < 0:
			return contract.Errorf(contract.CodeInvalidArgument, "repairs of %s in hosts must be 0 or more", clip(h.Name))
		}
		seen[h.Name] = true
		if _, _, err := addresses(h.Addresses); err != nil {
			return contract.Errorf(contract.CodeInvalidArgument, "addresses of %s in hosts: %w", clip(h.Name), err)
		}
	}
	return p.Connection.settle()
}

func (p *RequestsParams) settle() error {
	if p.Limit <= 0 {
		p.Limit = defaultLimit
	}
	return p.Connection.settle()
}

func (c *Connection) settle() error {
	given := func(values ...string) int {
		return len(slices.DeleteFunc(values, func(v string) bool { return v == "" }))
	}
	refuse := func(names string) error {
		return contract.Errorf(contract.CodeInvalidArgument, "parameters are mutually exclusive: %s", names)
	}
	switch {
	case c.ManagerURL == "":
		return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: manager_url").
			WithHint("set manager_url, or %sURL in the environment", envPrefix)
	case given(c.ManagerCAPath, c.ManagerCAPEM) > 1:
		return refuse("manager_ca_path|manager_ca_pem")
	case given(c.TOTPSecret, c.TOTPCode) > 1:
		return refuse("totp_secret|totp_code")
	case c.AccessToken != "" && given(c.Username, c.Password, c.TOTPSecret, c.TOTPCode) > 0:
		return refuse("access_token|username")
	case c.KeepSession && c.SessionPath == "":
		return contract.Errorf(contract.CodeInvalidArgument, "missing parameter(s) required by 'keep_session': session_path")
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	return nil
}

// envPrefix begins the names of the variables that stand in for options.
const envPrefix = "LINUX_PATCH_MANAGER_"

// fromEnvironment fills in what no argument gives. Credentials of one kind keep
// those of the other out.
func (c *Connection) fromEnvironment(getenv func(string) string) {
	set := func(s *string, name string) { *s = cmp.Or(*s, getenv(envPrefix+name)) }
	set(&c.ManagerURL, "URL")
	if c.AccessToken != "" {
		return
	}
	if c.Username == "" && c.Password == "" {
		set(&c.AccessToken, "TOKEN")
	}
	if c.AccessToken != "" {
		return
	}
	set(&c.Username, "USERNAME")
	set(&c.Password, "PASSWORD")
	if c.TOTPCode == "" {
		set(&c.TOTPSecret, "TOTP_SECRET")
	}
}

// addresses reads networks and single addresses. any says that all will do.
func addresses(raw json.RawMessage) (networks []netip.Prefix, anyAddress bool, err error) {
	var list []string
	var one string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, false, nil
	case json.Unmarshal(raw, &one) == nil:
		list = strings.Split(one, ",")
	case json.Unmarshal(raw, &list) != nil:
		return nil, false, errors.New("a list of addresses and networks is expected, or any")
	}
	for _, s := range list {
		s = strings.TrimSpace(s)
		if s == "any" {
			return nil, true, nil
		}
		if s == "" {
			continue
		}
		p, err := network(s)
		if err != nil {
			return nil, false, err
		}
		networks = append(networks, p)
	}
	return networks, false, nil
}

func network(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		// One of mapped IPv4 addresses would be compared with none.
		if bits := p.Bits() - 96; p.Addr().Is4In6() && bits >= 0 {
			p = netip.PrefixFrom(p.Addr().Unmap(), bits)
		}
		return p.Masked(), nil
	}
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network", clip(s))
	}
	ip = ip.Unmap()
	return netip.PrefixFrom(ip, ip.BitLen()), nil
}
