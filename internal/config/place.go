package config

import (
	"fmt"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/yamltext"
	"go.yaml.in/yaml/v3"
)

func refuse(o *yamltext.Obstacle, byHand string) error {
	return contract.Errorf(contract.CodeConfig, "%w", o.Err(ErrUneditable, byHand))
}

// braces tells whether the section is, or would be, between braces.
func (f *file) braces() bool {
	return f.text.Root != nil && f.text.Root.Style&yaml.FlowStyle != 0 ||
		f.sectionValue != nil && f.sectionValue.Style&yaml.FlowStyle != 0
}

// sectionColon returns the place behind the colon of the section's key.
func (f *file) sectionColon() (off int, ok bool) {
	_, off, ok = f.text.Scalar(f.sectionKey, false)
	if !ok {
		return 0, false
	}
	rest := strings.TrimLeft(string(f.text.Data[off:f.text.LineAt(off).End]), " \t")
	if !strings.HasPrefix(rest, ":") {
		return 0, false
	}
	return f.text.LineAt(off).End - len(rest) + 1, true
}

// others is the document without the token, and without a section and a
// document that hold nothing else; nil where that leaves nothing.
func (f *file) others() *yaml.Node {
	if f.text.Root == nil || f.text.Root.Kind != yaml.MappingNode {
		return f.text.Root
	}
	section := f.sectionValue
	if section != nil && section.Kind == yaml.MappingNode {
		section = yamltext.Without(section, f.tokenKey)
	}
	root := yamltext.Without(f.text.Root, f.sectionKey)
	if section != nil && !yamltext.IsNull(section) && (section.Kind != yaml.MappingNode || len(section.Content) > 0) {
		root.Content = append(root.Content, f.sectionKey, section)
	}
	if len(root.Content) == 0 {
		return nil
	}
	return root
}

// quote writes s in double quotes, in ASCII (YAML 1.2, 7.3.1).
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
