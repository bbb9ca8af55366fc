// Package whitelist reads whitelist.yaml, the list of those that may call a
// host, and adds one address to its text or takes it out again.
//
// It promises that an edit changes nothing but the bytes of the one entry, that
// Remove takes back what Add did, and that a text in which this is not sure is
// an error (ErrUneditable) that says what to write by hand. It does no I/O and
// takes no lock: reading, locking and replacing the file is the caller's.
package whitelist

import (
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostname"
	"github.com/linux-patch/enroll/internal/yamltext"
)

// Entry is one item of the list.
type Entry struct {
	// Text is the entry as it is written, quotes aside.
	Text string
	Line int
	// Prefix is what an IP or CIDR entry covers, without host bits and with
	// IPv4-mapped IPv6 as IPv4. It is the zero value for any other entry.
	Prefix netip.Prefix
	// Host is the host name, in lower case, of an entry that is one.
	Host string
}

// List is a whitelist.
type List struct {
	// Entries are all entries in their order, invalid ones too.
	Entries []Entry
	// Invalid are those that are neither IP, CIDR nor host name. They let
	// no one in.
	Invalid []Entry
}

// Parse reads a whitelist. One that is empty, has no entries or only comments
// is a list that lets no one in. An entry whose text makes no sense is no error
// here, so that a typing error in one line doesn't stop another line's edit;
// who serves by the list looks at Invalid.
func Parse(data []byte) (*List, error) {
	if list, ok := parseSimple(data); ok {
		return list, nil
	}
	f, err := load(data)
	if err != nil {
		return nil, err
	}
	return f.list, nil
}

// Covering returns the text of the first entry that lets ip in. Only IP and
// CIDR entries do: a host name never covers, since DNS would then decide. An
// address with a zone is never covered.
func (l *List) Covering(ip netip.Addr) (entry string, ok bool) {
	// Unmap drops the zone of an IPv4-mapped address.
	if ip.Zone() != "" {
		return "", false
	}
	ip = ip.Unmap()
	for _, e := range l.Entries {
		// Contains is false for the zero prefix and for the other address
		// family.
		if e.Prefix.Contains(ip) {
			return e.Text, true
		}
	}
	return "", false
}

// Found is what a whitelist says of one address.
type Found struct {
	// Covering is the first entry that lets it in, and empty without one.
	Covering string
	// Refused is the first entry for which deployed agents refuse the whole file.
	Refused string
}

// Find looks into the list that data holds, without keeping the list: a run on a
// converged host asks no more of it.
func Find(data []byte, ip netip.Addr) (Found, error) {
	if found, simple := findSimple(data, ip); simple {
		return found, nil
	}
	f, err := load(data)
	if err != nil {
		return Found{}, err
	}
	entry, _ := f.list.Covering(ip)
	found := Found{Covering: entry}
	if i := slices.IndexFunc(f.list.Entries, func(e Entry) bool { return isRefused(e.Text) }); i >= 0 {
		found.Refused = f.list.Entries[i].Text
	}
	return found, nil
}

// isRefused reports whether an entry is a network that is not one of IPv4, for
// which deployed agents refuse the file (contract).
func isRefused(entry string) bool {
	if strings.IndexByte(entry, '/') < 0 {
		return false
	}
	p, err := netip.ParsePrefix(entry)
	return err != nil || !p.Addr().Is4()
}

// Names reports whether an entry is ip itself, and not a network around it.
func (l *List) Names(ip netip.Addr) bool {
	ip = ip.Unmap()
	return slices.ContainsFunc(l.Entries, func(e Entry) bool {
		return e.Prefix.IsValid() && e.Prefix.IsSingleIP() && e.Prefix.Addr() == ip
	})
}

// file is a whitelist's text with the places of what matters in it. key, value
// and seq are nil where the text has none.
type file struct {
	text *yamltext.Text
	list *List
	key  *yaml.Node
	// value stands behind the key; it is seq, an alias of seq, or null.
	value, seq *yaml.Node
}

func load(data []byte) (*file, error) {
	text, err := yamltext.Parse(data)
	if err != nil {
		return nil, contract.Errorf(contract.CodeWhitelist, "whitelist is not valid YAML: %w", err)
	}
	f := &file{text: text, list: &List{}}
	root := text.Root
	if root == nil || yamltext.IsNull(root) {
		return f, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, notAWhitelist(root, `not a mapping with the key "entries"`)
	}
	if err := yamltext.CheckKeys(root); err != nil {
		return nil, contract.Errorf(contract.CodeWhitelist, "not a whitelist: %w", err)
	}
	f.key, f.value = yamltext.Lookup(root, "entries")
	if f.key == nil || yamltext.IsNull(f.value) {
		return f, nil
	}
	f.seq = yamltext.Resolve(f.value)
	if f.seq.Kind != yaml.SequenceNode {
		return nil, notAWhitelist(f.value, `"entries" is not a list`)
	}
	for _, n := range f.seq.Content {
		v := yamltext.Resolve(n)
		if v.Kind != yaml.ScalarNode {
			return nil, notAWhitelist(n, "an entry is not a single value")
		}
		e := parseEntry(v)
		e.Line = n.Line
		f.list.add(e)
	}
	return f, nil
}

func (l *List) add(e Entry) {
	l.Entries = append(l.Entries, e)
	if !e.Prefix.IsValid() && e.Host == "" {
		l.Invalid = append(l.Invalid, e)
	}
}

func notAWhitelist(n *yaml.Node, why string) error {
	return contract.Errorf(contract.CodeWhitelist, "not a whitelist: line %d: %s", n.Line, why)
}

func parseEntry(n *yaml.Node) Entry {
	e := Entry{Text: n.Value}
	// A number or a truth value is none; a tag of someone's own says nothing.
	if tag := n.ShortTag(); strings.HasPrefix(tag, "!!") && tag != "!!str" {
		return e
	}
	if e.Prefix = prefixOf(n.Value); e.Prefix.IsValid() {
		return e
	}
	if name, ok := hostname.OfAnother(n.Value); ok {
		e.Host = name
	}
	return e
}

// prefixOf is what an address or a network covers, the zero value for another
// text and for an address with a zone, which has no meaning on another host or
// after a reboot.
func prefixOf(text string) netip.Prefix {
	if strings.IndexByte(text, '/') < 0 {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return netip.Prefix{}
		}
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Describe lists the entries of a whitelist for a person to look through.
func Describe(content []byte) string {
	list, err := Parse(content)
	if err != nil {
		return "it cannot be read as a whitelist"
	}
	var all []string
	for _, e := range list.Entries {
		all = append(all, e.Text)
	}
	if all == nil {
		return "no entries"
	}
	return strings.Join(all, ", ")
}
