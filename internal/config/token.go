package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/yamltext"
	"go.yaml.in/yaml/v3"
)

// ErrUneditable says that a config is valid but written in a form in which an
// edit is not sure to change the polling token and nothing else.
var ErrUneditable = errors.New("config is written in a form that cannot be edited safely")

// The comments by which ClearPollingToken knows what SetPollingToken did: a line
// that was not there, or a value that was there and empty, but not as "".
const (
	addedMark = " # added by enrollment"
	wasMark   = " # set by enrollment, was: "
	// leftOut stands behind wasMark for a value that was not written at all.
	leftOut = "nothing"
)

const sectionLine = "enrollment:" + addedMark

// The keys that are edited.
const (
	tokenKey = "polling_token"
	urlKey   = "manager_url"
)

// current is the value of the key that is edited.
func (f *file) current() string {
	if f.name == urlKey {
		return f.config.Enrollment.ManagerURL
	}
	return f.config.Enrollment.PollingToken
}

// SetPollingToken returns data with enrollment.polling_token set to token: data
// itself where it is that already. A value that is there is replaced in place,
// else a line is added below "enrollment:", or both lines at the end.
func SetPollingToken(data []byte, token string) ([]byte, error) {
	if token == "" || !utf8.ValidString(token) {
		return nil, contract.Errorf(contract.CodeConfig, "the polling token is empty or not text")
	}
	return set(data, tokenKey, token)
}

// set returns data with a key of the section enrollment set to value.
func set(data []byte, name, value string) ([]byte, error) {
	before, err := loadFor(data, name)
	if err != nil {
		return nil, err
	}
	if before.current() == value {
		return data, nil
	}
	byHand := fmt.Sprintf(`write by hand, each on a line of its own, "enrollment:" and below it "  %s: ''"`, name)
	edited, o := before.set(quote(value))
	if o == nil {
		o = before.verify(edited, value)
	}
	if o != nil {
		return nil, refuse(o, byHand)
	}
	return edited, nil
}

// ClearPollingToken returns data without a polling token: as it was before
// SetPollingToken where that was, else with "" in the token's place.
func ClearPollingToken(data []byte) ([]byte, error) {
	before, err := load(data)
	if err != nil {
		return nil, err
	}
	if before.tokenKey == nil {
		return data, nil
	}
	start, end, o := before.place()
	if o == nil {
		edited, ok := before.restore(start, end)
		if ok && before.verify(edited, "") == nil {
			return edited, nil
		}
	}
	if before.config.Enrollment.PollingToken == "" {
		return data, nil
	}
	if o == nil {
		edited := before.text.Replace(start, end, `""`)
		if o = before.verify(edited, ""); o == nil {
			return edited, nil
		}
	}
	return nil, refuse(o, "take the value of enrollment.polling_token out by hand")
}

// verify makes sure that in the edited text the value is what it was to be, and
// that nothing else differs.
func (f *file) verify(edited []byte, value string) *yamltext.Obstacle {
	after, err := loadFor(edited, f.name)
	if err == nil && after.current() == value && yamltext.Same(f.others(), after.others()) {
		return nil
	}
	line := 1
	if f.sectionKey != nil {
		line = f.sectionKey.Line
	}
	return &yamltext.Obstacle{Line: line, Why: "an edit here would change more than " + f.name}
}

func (f *file) set(quoted string) ([]byte, *yamltext.Obstacle) {
	if o := f.text.Obstacle(f.sectionValue, "section"); o != nil {
		return nil, o
	}
	t := f.text
	if f.tokenKey != nil {
		return f.replace(quoted)
	}
	added := f.name + ": " + quoted + addedMark
	if f.sectionKey == nil {
		indent, ok := "", true
		if t.Root != nil {
			indent, ok = t.Indent(t.Root)
		}
		if !ok || f.braces() {
			return nil, &yamltext.Obstacle{Line: t.Root.Line, Why: "the first key is not on a line of its own"}
		}
		return t.Append(indent+sectionLine, indent+"  "+added), nil
	}
	// The line goes right below the section's own, since that is where the
	// section is sure to reach to.
	indent, ok := t.Indent(f.sectionKey)
	indent += "  "
	if f.sectionValue.Kind == yaml.MappingNode && len(f.sectionValue.Content) > 0 {
		first, alone := t.Indent(f.sectionValue.Content[0])
		indent, ok = first, ok && alone
	}
	colon, found := f.sectionColon()
	if start := f.emptied(t, colon, ""); ok && found && start > 0 {
		edited := &yamltext.Text{Data: t.Replace(start, start, wasMark[1:])}
		return edited.InsertAfter(edited.LineAt(start), indent+added), nil
	}
	if !ok || !found || f.braces() || !t.OnlyComment(colon) {
		return nil, &yamltext.Obstacle{Line: f.sectionKey.Line, Why: `"enrollment:" is not alone on its line`}
	}
	return t.InsertAfter(t.LineAt(colon), indent+added), nil
}

// emptied returns where the section is said to be empty, beside its colon and
// behind mark; 0 where it is not.
func (f *file) emptied(t *yamltext.Text, colon int, mark string) int {
	if colon > len(t.Data) {
		return 0
	}
	rest := string(t.Data[colon:t.LineAt(colon).End])
	value, ok := strings.CutPrefix(strings.TrimLeft(rest, " \t"), mark)
	start := colon + len(rest) - len(value)
	for _, nothing := range []string{"~", "null", "Null", "NULL", "{}"} {
		if ok && strings.HasPrefix(value, nothing) && t.OnlyComment(start+len(nothing)) {
			return start
		}
	}
	return 0
}

// emptyAgain says that the section is empty as it was said before, once no key is left.
func (f *file) emptyAgain(t *yamltext.Text) []byte {
	colon, found := f.sectionColon()
	if end := f.emptied(t, colon, wasMark[1:]); found && end > 0 && len(f.sectionValue.Content) == 2 {
		return t.Replace(end-len(wasMark[1:]), end, "")
	}
	return t.Data
}

// place returns where the value is that is there.
func (f *file) place() (start, end int, o *yamltext.Obstacle) {
	if o := f.text.Obstacle(f.sectionValue, "section"); o != nil {
		return 0, 0, o
	}
	start, end, ok := f.text.Scalar(f.tokenValue, false)
	if !ok {
		return 0, 0, &yamltext.Obstacle{Line: f.tokenValue.Line, Why: "the value of " + f.name + " is not a plain one on one line"}
	}
	return start, end, nil
}

// replace puts quoted in the place of the value that is there.
func (f *file) replace(quoted string) ([]byte, *yamltext.Obstacle) {
	t := f.text
	start, end, o := f.place()
	if o != nil {
		return nil, o
	}
	old := string(t.Data[start:end])
	switch {
	case f.name == urlKey && old != "" && !f.braces() && t.OnlyComment(end) && !strings.ContainsAny(old, " \t"):
		return t.Replace(start, end, quoted+wasMark+old), nil
	case strings.HasPrefix(old, `"`):
		return t.Replace(start, end, quoted), nil
	case f.braces() || !t.OnlyComment(end):
		return nil, &yamltext.Obstacle{Line: f.tokenValue.Line, Why: "the value of " + f.name + " is neither in double quotes nor on a line of its own"}
	case f.current() != "":
		return t.Replace(start, end, quoted), nil
	case old == "":
		return t.Replace(start, end, " "+quoted+wasMark+leftOut), nil
	}
	return t.Replace(start, end, quoted+wasMark+old), nil
}

// restore returns the text before the last SetPollingToken, where a comment of
// ours tells what that was.
func (f *file) restore(start, end int) ([]byte, bool) {
	t := f.text
	l := t.LineAt(start)
	quoted, rest := string(t.Data[start:end]), string(t.Data[end:l.End])
	if !strings.HasPrefix(quoted, `"`) {
		return nil, false
	}
	if strings.TrimLeft(string(t.Data[l.Start:l.End]), " ") == f.name+": "+quoted+addedMark {
		return f.emptyAgain(&yamltext.Text{Data: t.Cut(f.addedFrom(l), l)}), true
	}
	for _, old := range []string{leftOut, "''", "~", "null", "Null", "NULL"} {
		cut := end + len(wasMark) + len(old)
		switch {
		case !strings.HasPrefix(rest, wasMark+old) || !t.OnlyComment(cut):
		case old != leftOut:
			return t.Replace(start, cut, old), true
		case t.Data[start-1] == ' ':
			return t.Replace(start-1, cut, ""), true
		}
	}
	return nil, false
}

// addedFrom returns the first line that SetPollingToken added: token, the
// token's own, or the one above, where that is our section with nothing else.
func (f *file) addedFrom(token yamltext.Line) yamltext.Line {
	if token.Start == 0 || len(f.sectionValue.Content) != 2 {
		return token
	}
	above := f.text.LineAt(token.Start - 1)
	if strings.TrimLeft(string(f.text.Data[above.Start:above.End]), " ") != sectionLine {
		return token
	}
	return above
}
