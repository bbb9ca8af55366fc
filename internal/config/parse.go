package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plaintext"
	"github.com/linux-patch/enroll/internal/yamltext"
)

// Parse reads a config. Nothing at all is a valid one. A value of the wrong type
// is an error that names its key and line, and shows it as far as Got does.
func Parse(data []byte) (*Config, error) {
	f, err := load(data)
	if err != nil {
		return nil, err
	}
	return f.config, nil
}

// file is a config with its text and the places of what edits need. Nodes are
// nil where the text has none.
type file struct {
	text   *yamltext.Text
	config *Config
	// name is the key that is edited. sectionKey and sectionValue are of
	// "enrollment", tokenKey and tokenValue of that key in it.
	name                     string
	sectionKey, sectionValue *yaml.Node
	tokenKey, tokenValue     *yaml.Node
}

func load(data []byte) (*file, error) { return loadFor(data, tokenKey) }

// loadFor is load with the places of a key of the section enrollment.
func loadFor(data []byte, name string) (*file, error) {
	text, err := yamltext.Parse(data)
	if err != nil {
		return nil, contract.Errorf(contract.CodeConfig, "config is not valid YAML: %w", err)
	}
	f := &file{text: text, config: &Config{}, name: name}
	if err := f.config.read(text.Root); err != nil {
		return nil, contract.Errorf(contract.CodeConfig, "config is not valid: %w", err)
	}
	f.sectionKey, f.sectionValue = yamltext.Lookup(text.Root, "enrollment")
	if f.sectionKey != nil {
		f.tokenKey, f.tokenValue = yamltext.Lookup(yamltext.Resolve(f.sectionValue), name)
	}
	return f, nil
}

// read fills c from the document, by the key tags.
func (c *Config) read(root *yaml.Node) error {
	if root == nil || yamltext.IsNull(root) {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: not a mapping of sections", root.Line)
	}
	if err := yamltext.CheckKeys(root); err != nil {
		return err
	}
	c.lines = make(map[string]int)
	for field, into := range reflect.ValueOf(c).Elem().Fields() {
		name := field.Tag.Get("key")
		_, value := yamltext.Lookup(root, name)
		if name == "" || value == nil {
			continue
		}
		if err := c.readSection(name, yamltext.Resolve(value), into); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) readSection(section string, n *yaml.Node, into reflect.Value) error {
	if yamltext.IsNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s is not a mapping", n.Line, section)
	}
	if err := yamltext.CheckKeys(n); err != nil {
		return err
	}
	for field, to := range into.Fields() {
		name := field.Tag.Get("key")
		key, value := yamltext.Lookup(n, name)
		if key == nil || yamltext.IsNull(yamltext.Resolve(value)) {
			continue
		}
		name = section + "." + name
		if err := decode(yamltext.Resolve(value), to); err != nil {
			return fmt.Errorf("line %d: %s is %w%s", value.Line, name, err, c.Got(name, value.Value))
		}
		c.lines[name] = value.Line
	}
	return nil
}

// Got is plaintext.Got for the value of a key: never of a token, which may be an
// alias elsewhere.
func (c *Config) Got(key, value string) string {
	if value == c.Enrollment.PollingToken || key == "enrollment."+tokenKey {
		return ""
	}
	return plaintext.Got(value)
}

// decode sets a field of a section. The library's own errors may hold a token, so
// they go no further.
func decode(n *yaml.Node, into reflect.Value) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	switch into.Kind() {
	case reflect.Slice:
		words, err := wordsOf(n)
		if err != nil {
			return err
		}
		into.Set(reflect.ValueOf(words))
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
			return errors.New("not text; what looks like a number or a truth value needs quotes")
		}
		into.SetString(n.Value)
	case reflect.Int:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Decode(into.Addr().Interface()) != nil {
			return errors.New("not a whole number")
		}
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Decode(into.Addr().Interface()) != nil {
			return errors.New("neither true nor false")
		}
	default:
		return fmt.Errorf("of a type that no one reads (%s)", into.Type())
	}
	return nil
}

// wordsOf reads a list, or a text of words with commas or blanks between them.
func wordsOf(n *yaml.Node) ([]string, error) {
	wrong := errors.New("neither text nor a list of texts; what looks like a number or a truth value needs quotes")
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	var words []string
	for _, item := range nodes {
		item = yamltext.Resolve(item)
		if item.Kind != yaml.ScalarNode || item.ShortTag() != "!!str" {
			return nil, wrong
		}
		words = append(words, strings.FieldsFunc(item.Value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })...)
	}
	if len(words) == 0 && n.Kind == yaml.SequenceNode {
		return nil, errors.New("an empty list")
	}
	return words, nil
}
