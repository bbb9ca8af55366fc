// Package aptrepo reads what a manager says of a package repository, which is
// not trusted, and writes it anew for APT.
//
// It promises that what is written names https URIs and the keyring that the
// caller gives, and has no other option: nothing in it makes APT trust a
// repository, or a key, that the caller did not name.
package aptrepo

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/linux-patch/enroll/internal/plaintext"
)

const (
	maxText    = 64 << 10
	maxSources = 16
	maxWords   = 32
)

// Source is one repository: a stanza of APT's deb822 format.
type Source struct {
	Types, URIs, Suites, Components []string
}

// What is compiled at each start of the program costs each run, and few runs
// have a repository.
var (
	uriForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^https://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~+/-]*)?$`)
	})
	wordForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._+/-]*|\./|/)$`) })
)

var errNoSource = errors.New("it names no repository")

// Parse reads one-line or deb822 sources. dropped names the options in them that
// are not taken.
func Parse(text string) (sources []Source, dropped []string, err error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if len(text) > maxText {
		return nil, nil, fmt.Errorf("it is larger than %d bytes", maxText)
	}
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
	if strings.ContainsFunc(strings.Join(lines, "\n"), func(c rune) bool { return c != '\n' && c != '\t' && (c < ' ' || c > '~') }) {
		return nil, nil, errors.New("it holds characters that no sources have")
	}
	p := parser{}
	if first := slices.IndexFunc(lines, hasContent); first >= 0 && isOneLine(lines[first]) {
		err = p.oneLine(lines)
	} else {
		err = p.stanzas(lines)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case len(p.sources) == 0:
		return nil, nil, errNoSource
	case len(p.sources) > maxSources:
		return nil, nil, fmt.Errorf("it names more than %d repositories", maxSources)
	}
	slices.Sort(p.dropped)
	return p.sources, slices.Compact(p.dropped), nil
}

// Render writes sources in deb822's format, signed by keyring alone.
func Render(sources []Source, keyring string) []byte {
	var out bytes.Buffer
	for i, s := range sources {
		if i > 0 {
			out.WriteByte('\n')
		}
		for _, f := range []struct {
			name  string
			words []string
		}{{"Types", s.Types}, {"URIs", s.URIs}, {"Suites", s.Suites}, {"Components", s.Components}, {"Signed-By", []string{keyring}}} {
			if len(f.words) > 0 {
				fmt.Fprintf(&out, "%s: %s\n", f.name, strings.Join(f.words, " "))
			}
		}
	}
	return out.Bytes()
}

func hasContent(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && line[0] != '#'
}

func isOneLine(line string) bool {
	words := strings.Fields(line)
	return words[0] == "deb" || words[0] == "deb-src"
}

type parser struct {
	sources []Source
	dropped []string
}

// drop notes an option that is not taken. Signed-By is replaced, not dropped.
func (p *parser) drop(name string) {
	if name = strings.ToLower(name); name != "signed-by" {
		p.dropped = append(p.dropped, plaintext.Line(name, 40))
	}
}

// add checks a source and takes it.
func (p *parser) add(s Source) error {
	for _, t := range s.Types {
		if t != "deb" && t != "deb-src" {
			return errors.New("a repository is neither deb nor deb-src")
		}
	}
	for _, uri := range s.URIs {
		if !uriForm().MatchString(uri) {
			return fmt.Errorf("%q is no plain https URI", plaintext.Line(uri, 100))
		}
	}
	for _, word := range slices.Concat(s.Suites, s.Components) {
		if !wordForm().MatchString(word) || strings.Contains(word, "..") {
			return fmt.Errorf("%q is no name of a suite or component", plaintext.Line(word, 100))
		}
	}
	exact := slices.ContainsFunc(s.Suites, func(suite string) bool { return strings.HasSuffix(suite, "/") })
	switch {
	case len(s.Types) == 0, len(s.URIs) == 0, len(s.Suites) == 0, !exact && len(s.Components) == 0:
		return errors.New("a repository lacks a type, a URI, a suite or a component")
	case exact && len(s.Components) > 0:
		return errors.New("a suite that is a path goes with no component")
	case len(s.Types)+len(s.URIs)+len(s.Suites)+len(s.Components) > maxWords:
		return errors.New("a repository has too many parts")
	}
	p.sources = append(p.sources, s)
	return nil
}

// oneLine reads "deb [option=value …] URI suite [component …]".
func (p *parser) oneLine(lines []string) error {
	for _, line := range lines {
		line, _, _ = strings.Cut(line, "#")
		if !hasContent(line) {
			continue
		}
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		rest = strings.TrimSpace(rest)
		if options, ok := strings.CutPrefix(rest, "["); ok {
			if options, rest, ok = strings.Cut(options, "]"); !ok {
				return errors.New("an option has no end")
			}
			for _, option := range strings.Fields(options) {
				name, _, _ := strings.Cut(option, "=")
				p.drop(strings.TrimRight(name, "+-"))
			}
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			return errors.New("a line is no repository")
		}
		if err := p.add(Source{[]string{kind}, words[:1], words[1:2], words[2:]}); err != nil {
			return err
		}
	}
	return nil
}

// stanzas reads deb822's format.
func (p *parser) stanzas(lines []string) error {
	fields, last := map[string]string{}, ""
	for _, line := range append(lines, "") {
		switch {
		case strings.TrimSpace(line) == "":
			if err := p.stanza(fields); err != nil {
				return err
			}
			fields, last = map[string]string{}, ""
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return errors.New("a line continues nothing")
			}
			fields[last] += " " + line
		default:
			name, value, ok := strings.Cut(line, ":")
			last = strings.ToLower(name)
			if _, twice := fields[last]; twice || !ok || name == "" {
				return errors.New("a line is no field of its own")
			}
			fields[last] = value
		}
	}
	return nil
}

func (p *parser) stanza(fields map[string]string) error {
	if len(fields) == 0 {
		return nil
	}
	enabled := strings.TrimSpace(strings.ToLower(fields["enabled"]))
	delete(fields, "enabled")
	if enabled != "" && enabled != "yes" && enabled != "true" && enabled != "1" {
		p.drop("a repository that is not enabled")
		return nil
	}
	s := Source{}
	known := map[string]*[]string{"types": &s.Types, "uris": &s.URIs, "suites": &s.Suites, "components": &s.Components}
	for name, value := range fields {
		if words := known[name]; words != nil {
			*words = strings.Fields(value)
		} else {
			p.drop(name)
		}
	}
	return p.add(s)
}
