package ansible

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/report"
)

// hidden stands where a secret stood, in Ansible's own spelling.
const hidden = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

// shortestSecret is the length below which a value is not scrubbed: it would
// take parts of ordinary words with it.
const shortestSecret = 8

// Secrets collects values that no output may hold. The code that meets a
// secret keeps it out of messages; this is the net beneath it.
type Secrets struct {
	mu     sync.Mutex
	values []string
}

// Add registers a secret; it may be called from any goroutine.
func (s *Secrets) Add(secret string) {
	if len(secret) < shortestSecret {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append(s.values, secret)
}

// addKeys registers the private key of a re-issued set.
func (s *Secrets) addKeys(bundle []byte) {
	var set struct {
		Key      string `json:"server_key"`
		Reissued string `json:"server_key_pem"`
	}
	if json.Unmarshal(bundle, &set) == nil {
		s.Add(set.Key)
		s.Add(set.Reissued)
	}
}

// scrub replaces each secret in JSON text, where it may stand escaped.
func (s *Secrets) scrub(text []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.values {
		text = bytes.ReplaceAll(text, []byte(secret), []byte(hidden))
		escaped, err := json.Marshal(secret)
		if err == nil {
			text = bytes.ReplaceAll(text, escaped[1:len(escaped)-1], []byte(hidden))
		}
	}
	return text
}

// encode makes the one JSON object of a run. encoding/json replaces invalid
// UTF-8, which Ansible 2.19 would refuse.
func encode(result any, secrets *Secrets) []byte {
	out, err := json.Marshal(result)
	if err != nil {
		out, _ = json.Marshal(report.Failed(contract.Errorf(contract.CodeInternal, "the result cannot be encoded")))
	}
	return append(secrets.scrub(out), '\n')
}

// panicked is the result of a run that met a fault of this program. The
// value of a panic may hold anything, so only its type is told.
func panicked(value any) *report.Result {
	kind := fmt.Sprintf("%T", value)
	if e, ok := value.(interface{ RuntimeError() }); ok {
		// Runtime errors are texts of Go itself, such as "index out of range".
		kind = strings.TrimPrefix(fmt.Sprint(e), "runtime error: ")
	}
	return report.Failed(contract.Errorf(contract.CodeInternal, "the program met a fault of its own: %s", kind))
}
