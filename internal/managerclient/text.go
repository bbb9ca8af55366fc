package managerclient

import (
	"encoding/json"
	"strings"
	"unicode"
)

const maxText = 200

// printable makes text from outside fit for a message: valid UTF-8, one line,
// nothing that a terminal acts on, capped.
func printable(s string) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }) {
		if n > 0 {
			b.WriteByte(' ')
		}
		for _, r := range word {
			if n++; n > maxText {
				return b.String() + "…"
			}
			b.WriteRune(r)
		}
		n++
	}
	return b.String()
}

// managerText finds the sentence for a person in an answer that refuses. From
// JSON it takes nothing but the members meant for that, since others may hold
// a token.
func managerText(body []byte) string {
	if len(body) > MaxBody {
		return ""
	}
	trimmed := strings.TrimSpace(string(body))
	switch {
	case trimmed == "":
		return ""
	case strings.HasPrefix(trimmed, "<"):
		return "an HTML page"
	case strings.ContainsAny(trimmed[:1], `{["`):
		var o struct {
			Error, Message, Detail json.RawMessage
		}
		if json.Unmarshal(body, &o) != nil {
			return ""
		}
		for _, raw := range []json.RawMessage{o.Error, o.Message, o.Detail} {
			var s string
			var nested struct{ Message string }
			if json.Unmarshal(raw, &s) == nil && s != "" {
				return printable(s)
			}
			if json.Unmarshal(raw, &nested) == nil && nested.Message != "" {
				return printable(nested.Message)
			}
		}
		return ""
	}
	return printable(trimmed)
}
