// Package jsontext reads JSON that a person may have written by hand, and says
// where it is broken in that person's words. It quotes nothing of the text but a
// name, since it may hold secrets.
package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Fault returns what is wrong with a text that is to be one JSON value, and nil
// where it is one.
func Fault(raw []byte) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errors.New("is empty")
	}
	var v json.RawMessage
	err := json.Unmarshal(raw, &v)
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return err
	}
	// The offset is that behind the byte at which the parser stopped.
	at := min(max(int(syntax.Offset)-1, 0), len(raw))
	if json.NewDecoder(bytes.NewReader(raw)).Decode(&v) == nil {
		return fmt.Errorf("%s: something follows the value", place(raw, at))
	}
	if ahead := bytes.TrimRight(raw[:at], " \t\r\n"); at < len(raw) && bytes.HasSuffix(ahead, []byte(",")) && bytes.IndexByte([]byte("]}"), raw[at]) >= 0 {
		return fmt.Errorf("%s: a comma before the closing %c", place(raw, len(ahead)-1), raw[at])
	}
	if rest := bytes.TrimSpace(raw[:at]); at+1 >= len(raw) && len(rest) > 0 && bytes.IndexByte([]byte("]}"), raw[len(raw)-1]) < 0 {
		return fmt.Errorf("%s: it ends too early", place(raw, len(raw)))
	}
	return fmt.Errorf("%s: not JSON", place(raw, at))
}

// Object reads one JSON object whose names differ, of which encoding/json alone
// would silently take the last. A V of any has numbers as they are written.
func Object[V any](raw []byte) (map[string]V, error) {
	if err := Fault(raw); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("expected an object")
	}
	values := map[string]V{}
	for d.More() {
		t, err := d.Token()
		name, _ := t.(string)
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%.64q is given twice", name)
		}
		var v V
		if err != nil || d.Decode(&v) != nil {
			return nil, fmt.Errorf("syntax error near byte %d", d.InputOffset())
		}
		values[name] = v
	}
	return values, nil
}

// place counts columns in characters, as editors do.
func place(raw []byte, at int) string {
	start := bytes.LastIndexByte(raw[:at], '\n') + 1
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(raw[:at], []byte("\n")), 1+utf8.RuneCount(raw[start:at]))
}
