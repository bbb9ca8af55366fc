// Package jsontext says where a JSON text is broken, in the words of the person
// who wrote it by hand. It quotes nothing of the text, which may hold secrets.
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
	var syntax *json.SyntaxError
	var v json.RawMessage
	if err := json.Unmarshal(raw, &v); !errors.As(err, &syntax) {
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

// place counts columns in characters, as editors do.
func place(raw []byte, at int) string {
	start := bytes.LastIndexByte(raw[:at], '\n') + 1
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(raw[:at], []byte("\n")), 1+utf8.RuneCount(raw[start:at]))
}
