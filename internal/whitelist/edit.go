package whitelist

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/yamltext"
	"go.yaml.in/yaml/v3"
)

// ErrUneditable says that a whitelist is valid but written in a form in which
// an edit is not sure to change one entry and nothing else.
var ErrUneditable = errors.New("the whitelist is written in a form that cannot be edited safely")

func refuse(o *yamltext.Obstacle, byHand string) error {
	return contract.Errorf(contract.CodeWhitelist, "%w", o.Err(ErrUneditable, byHand))
}

// Add returns data with ip among the entries: data itself where an entry covers
// it already, and Example with the entry where data is empty.
//
// A block list gets a line after its last entry, a list in brackets one more
// item, an "entries:" without a value a block list, and a text without
// "entries" a line at its end.
func Add(data []byte, ip netip.Addr) ([]byte, error) {
	if !ip.IsValid() || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return nil, contract.Errorf(contract.CodeWhitelist, "%s is no address that a manager calls from", ip)
	}
	ip = ip.Unmap()
	if len(data) == 0 {
		data = []byte(Example)
	}
	before, err := load(data)
	if err != nil {
		return nil, err
	}
	if _, ok := before.list.Covering(ip); ok {
		return data, nil
	}
	byHand := `add under "entries" by hand: - "` + ip.String() + `"`
	edited, o := before.add(ip)
	if o != nil {
		return nil, refuse(o, byHand)
	}
	after, err := load(edited)
	if err != nil || !differByOne(before, after, len(before.list.Entries)) {
		return nil, refuse(before.unsure(), byHand)
	}
	if entry, _ := after.list.Covering(ip); entry != ip.String() {
		return nil, refuse(before.unsure(), byHand)
	}
	return edited, nil
}

// Remove returns data without the entry of this text: data itself where there
// is none. The entry's line goes, with a comment on it, or its item between the
// brackets; where Add wrote the entry, what is left is what Add was given.
func Remove(data []byte, entry string) ([]byte, error) {
	before, err := load(data)
	if err != nil {
		return nil, err
	}
	at := -1
	byHand := fmt.Sprintf("remove the entry %q by hand", entry)
	for i, e := range before.list.Entries {
		if e.Text != entry {
			continue
		}
		if at >= 0 {
			o := &yamltext.Obstacle{Line: e.Line, Why: fmt.Sprintf("the same entry as in line %d", before.list.Entries[at].Line)}
			return nil, refuse(o, byHand)
		}
		at = i
	}
	if at < 0 {
		return data, nil
	}
	edited, o := before.remove(at)
	if o != nil {
		return nil, refuse(o, byHand)
	}
	after, err := load(edited)
	if err != nil || !differByOne(after, before, at) {
		return nil, refuse(before.unsure(), byHand)
	}
	return edited, nil
}

// unsure is the obstacle where an edit came out as something else than meant.
func (f *file) unsure() *yamltext.Obstacle {
	line := 1
	if f.key != nil {
		line = f.key.Line
	}
	return &yamltext.Obstacle{Line: line, Why: "an edit here would change more than one entry"}
}

// differByOne tells whether with is without plus an entry at index at, all else
// being the same.
func differByOne(without, with *file, at int) bool {
	less, more := without.items(), with.items()
	if len(more) != len(less)+1 {
		return false
	}
	return slices.EqualFunc(less, slices.Concat(more[:at], more[at+1:]), yamltext.Same) &&
		yamltext.Same(without.others(), with.others())
}

func (f *file) items() []*yaml.Node {
	if f.seq == nil {
		return nil
	}
	return f.seq.Content
}

// others is the document without "entries", nil where that leaves nothing.
func (f *file) others() *yaml.Node {
	if f.key == nil {
		return f.text.Root
	}
	rest := yamltext.Without(f.text.Root, f.key)
	if len(rest.Content) == 0 {
		return nil
	}
	return rest
}
