package managerclient

import (
	"encoding/json"
	"strings"

	"github.com/linux-patch/enroll/internal/plaintext"
)

const maxText = 200

// printable makes text from outside fit for a message: one line, capped, with
// single spaces.
func printable(s string) string {
	const looked = 16 * maxText
	return plaintext.Line(strings.Join(strings.Fields(plaintext.Line(s, looked)), " "), maxText)
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
