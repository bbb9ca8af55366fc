package optionsgen

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/options"
)

// prefix makes the role's variable of an option.
const prefix = "enroll_"

// width is how long a line of YAML may be.
const width = 120

// part is what is generated in one file, between two comments.
type part struct{ path, name, text string }

// within puts the part into the text of its file. The first comment says
// `make options: NAME`, and the last `make options: end`.
func (p part) within(text string) (string, error) {
	begin := strings.Index(text, "make options: "+p.name+" ")
	if begin < 0 {
		return "", fmt.Errorf("%s: nothing says make options: %s", p.path, p.name)
	}
	begin += strings.IndexByte(text[begin:], '\n') + 1
	end := strings.Index(text[begin:], "make options: end")
	if end < 0 {
		return "", fmt.Errorf("%s: nothing says make options: end", p.path)
	}
	end = begin + strings.LastIndexByte(text[begin:begin+end], '\n') + 1
	return text[:begin] + p.text + text[max(begin, end):], nil
}

// parts are all that is generated.
func parts(params, info any, saidText, roleDefaults []byte) ([]part, error) {
	texts, err := parse(saidText)
	if err != nil {
		return nil, err
	}
	defaults := map[string]any{}
	if err := yaml.Unmarshal(roleDefaults, &defaults); err != nil {
		return nil, fmt.Errorf("the role's defaults: %w", err)
	}
	enrollment, err := merge(params, texts)
	if err != nil {
		return nil, err
	}
	reported, err := merge(info, ofInfo(texts))
	if err != nil {
		return nil, err
	}
	if err := unknown(texts, enrollment, reported); err != nil {
		return nil, err
	}
	return []part{
		{"ansible/plugins/modules/enrollment.py", "module", documentation(enrollment, "", 2)},
		{"ansible/plugins/modules/enrollment_info.py", "info", documentation(reported, "", 2)},
		{"ansible/roles/enroll/meta/argument_specs.yml", "role", documentation(ofRole(enrollment, defaults), prefix, 6)},
		{"README.md", "readme", readme(enrollment)},
		{"docs/SPEC.md", "module", specification(enrollment)},
		{"docs/SPEC.md", "info", specification(reported)},
		{"docs/SPEC.md", "trust", listed(options.Tagged(params, "trust"))},
		{"configs/man/enrollment.8", "module", manual(enrollment)},
		{"configs/man/enrollment.8", "info", manualNames(reported)},
		{"ansible/README.md", "secret", listed(options.Tagged(params, "secret"))},
	}, nil
}

// documentation is the YAML of options, as modules and roles document theirs. A
// variable of a role has no_log; of a module, the action plugin knows it from
// there.
func documentation(all []option, prefix string, indent int) string {
	var b strings.Builder
	line := func(deeper int, format string, args ...any) {
		b.WriteString(strings.Repeat(" ", indent+deeper) + fmt.Sprintf(format, args...) + "\n")
	}
	for _, o := range all {
		line(0, "%s%s:", prefix, o.name)
		describe(line, o.Description, prefix != "", indent)
		line(2, "type: %s", ansibleType(o.kind))
		if prefix != "" && o.secret {
			line(2, "no_log: true")
		}
		if len(o.choices) > 0 {
			line(2, "choices:")
		}
		for _, choice := range o.choices {
			line(4, "- %s", choice)
		}
		if o.def != "" {
			line(2, "default: %s", literal(o))
		}
		if o.Since != "" {
			line(2, "version_added: %s", o.Since)
		}
	}
	return b.String()
}

// describe writes a description. A role's is one text: Ansible takes the
// specification apart and copies it for each host that it checks.
func describe(line func(int, string, ...any), texts []string, role bool, indent int) {
	if role {
		line(2, "description: %s", scalar(strings.Join(texts, " "), indent+4))
		return
	}
	line(2, "description:")
	for _, text := range texts {
		line(4, "- %s", scalar(text, indent+6))
	}
}

// ansibleType is Ansible's word for a kind.
func ansibleType(kind string) string {
	switch kind {
	case "time":
		return "str"
	case "mode":
		return "raw"
	}
	return kind
}

// literal is a default in YAML.
func literal(o option) string {
	if _, err := strconv.ParseFloat(o.def, 64); err == nil && ansibleType(o.kind) == "str" {
		return strconv.Quote(o.def)
	}
	return o.def
}

// special is what does not begin a plain scalar of YAML, or ends it.
var special = regexp.MustCompile("^[-?:,\\[\\]{}#&*!|>'\"%@`]|: | #|:$")

// scalar is a text in YAML: on the line if it fits there, else folded.
func scalar(text string, indent int) string {
	if indent+len(text) <= width && !special.MatchString(text) {
		return text
	}
	var b strings.Builder
	b.WriteString(">-")
	at := width
	for word := range strings.FieldsSeq(text) {
		if at+1+len(word) > width {
			b.WriteString("\n" + strings.Repeat(" ", indent) + word)
			at = indent + len(word)
			continue
		}
		b.WriteString(" " + word)
		at += 1 + len(word)
	}
	return b.String()
}

func readme(all []option) string {
	config := regexp.MustCompile("^config `[^`]*`")
	var b strings.Builder
	b.WriteString("\n| option | default | meaning |\n|---|---|---|\n")
	for _, o := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", o.name, config.ReplaceAllString(o.cell(), "config"), o.Summary)
	}
	return b.String() + "\n"
}

func specification(all []option) string {
	var b strings.Builder
	b.WriteString("\n| option | type | default | meaning |\n|---|---|---|---|\n")
	for _, o := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.name, o.kind, o.cell(), o.meaning())
	}
	return b.String() + "\n"
}

// listed is a paragraph of names.
func listed(names []string) string {
	if len(names) == 0 {
		return "\nNone.\n\n"
	}
	return "\n`" + strings.Join(names, "`, `") + "`.\n\n"
}

// cell is the default as a table shows it.
func (o option) cell() string {
	if o.def != "" {
		return "`" + o.def + "`"
	}
	return cmp.Or(o.Default, "none")
}
