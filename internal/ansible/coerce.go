package ansible

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/plaintext"
)

// Ansible's own lists, from its parsing of booleans.
const (
	trueWords  = " y yes on 1 true t 1.0 "
	falseWords = " n no off 0 false f 0.0 "
)

func toBool(v any) (bool, error) {
	var word string
	switch v := v.(type) {
	case bool:
		return v, nil
	case json.Number:
		word = v.String()
	case string:
		word = strings.ToLower(strings.TrimSpace(v))
	}
	switch {
	case word != "" && strings.Contains(trueWords, " "+word+" "):
		return true, nil
	case word != "" && strings.Contains(falseWords, " "+word+" "):
		return false, nil
	}
	return false, fmt.Errorf("%s is not a valid boolean; valid are: yes, on, 1, true, no, off, 0, false", quoted(v))
}

func toInt(v any) (int, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n, nil
	}
	// A template may give 60.0.
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<31 {
		return int(f), nil
	}
	return 0, fmt.Errorf("%s is not a whole number", quoted(v))
}

func toString(v any) (string, error) {
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			return "", errors.New("it holds a NUL character")
		}
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return "", errors.New("it is a boolean; quote it if a text is meant")
	}
	return "", errors.New("it is not a text")
}

// toPath expands `~`, `~user`, `$VAR` and `${VAR}` as Ansible does: a variable
// that is not set stays as it stands.
func (r Reader) toPath(v any) (options.Path, error) {
	s, err := toString(v)
	if err != nil {
		return "", err
	}
	if strings.Contains(s, "$") {
		s = os.Expand(s, func(name string) string {
			if value := r.Getenv(name); value != "" {
				return value
			}
			return "$" + name
		})
	}
	if !strings.HasPrefix(s, "~") {
		return options.Path(s), nil
	}
	user, rest, _ := strings.Cut(s[1:], "/")
	home := r.Getenv("HOME")
	if user != "" || home == "" {
		if home, err = r.HomeOf(user); err != nil {
			return "", fmt.Errorf("no home directory for %s: %w", quoted("~"+user), err)
		}
	}
	return options.Path(strings.TrimSuffix(home+"/"+rest, "/")), nil
}

func toSpan(v any) (options.Span, error) {
	text, err := toString(v)
	if err != nil {
		return 0, err
	}
	span, err := options.ParseSpan(text)
	if err != nil {
		return 0, fmt.Errorf("%s %w", quoted(v), err)
	}
	return span, nil
}

// toMode reads an octal text, a symbolic text that says everything ("u=rw,g=r"),
// or the number that YAML makes of 0600.
func toMode(v any) (fs.FileMode, error) {
	if n, ok := v.(json.Number); ok {
		mode, err := strconv.ParseUint(n.String(), 10, 32)
		if err != nil || mode > 0o777 {
			return 0, fmt.Errorf("the number %s is no file mode (it is %#o): quote it, as in '0600'", quoted(v), mode)
		}
		return fs.FileMode(mode), nil
	}
	text, err := toString(v)
	if err != nil {
		return 0, err
	}
	text = strings.TrimSpace(text)
	if octal, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32); err == nil {
		if octal > 0o777 {
			return 0, fmt.Errorf("%s has bits beyond read, write and execute", quoted(v))
		}
		return fs.FileMode(octal), nil
	}
	return symbolicMode(text)
}

func symbolicMode(text string) (fs.FileMode, error) {
	shifts := map[rune][]int{'u': {6}, 'g': {3}, 'o': {0}, 'a': {6, 3, 0}}
	bits := map[rune]int{'r': 4, 'w': 2, 'x': 1}
	mode := 0
	for clause := range strings.SplitSeq(text, ",") {
		who, perms, ok := strings.Cut(clause, "=")
		if !ok || who == "" {
			return 0, fmt.Errorf("%s is neither octal ('0600') nor symbolic with = ('u=rw,g=r'); + and - would depend on the file before", quoted(text))
		}
		value := 0
		for _, p := range perms {
			if bits[p] == 0 {
				return 0, fmt.Errorf("%s has a permission other than r, w and x", quoted(text))
			}
			value |= bits[p]
		}
		for _, w := range who {
			if shifts[w] == nil {
				return 0, fmt.Errorf("%s names someone other than u, g, o and a", quoted(text))
			}
			for _, shift := range shifts[w] {
				mode = mode&^(7<<shift) | value<<shift
			}
		}
	}
	return fs.FileMode(mode), nil
}

// typeName is a JSON value's type in Ansible's words.
func typeName(v any) string {
	switch v := v.(type) {
	case bool:
		return "bool"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "float"
		}
		return "int"
	case string:
		return "str"
	case []any:
		return "list"
	case map[string]any:
		return "dict"
	default:
		return "None"
	}
}

// quoted shows a value that a person mistyped. Lists and dictionaries are not
// shown: they may hold anything.
func quoted(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(clip(v))
	case json.Number:
		return clip(v.String())
	case bool:
		return strconv.FormatBool(v)
	default:
		return "a " + typeName(v)
	}
}

// clip makes what a message quotes short and plain.
func clip(s string) string { return plaintext.Line(s, 64) }
