package ansible

import (
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/options"
)

// One tag makes an option secret: here no message quotes it. The package
// optionsgen has the test of the action plugin and of the documents.
func TestSecretTagKeepsAValueOutOfMessages(t *testing.T) {
	const canary = "kanarienvogel"
	r := Reader{Getenv: func(string) string { return "" }}
	for _, value := range []any{canary, map[string]any{canary: canary}, true} {
		for _, p := range []any{
			&struct {
				X string `arg:"x" secret:"true" validate:"ip"`
			}{},
			&struct {
				X options.Span `arg:"x" secret:"true"`
			}{},
			&struct {
				X *options.Path `arg:"x" secret:"true" validate:"abspath"`
			}{},
		} {
			err := r.fill(arguments{options: map[string]any{"x": value}}, p)
			if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), notShown) {
				t.Errorf("%T of %v: got %v, want an error that says %q", p, value, err, notShown)
			}
		}
	}
	open := &struct {
		X string `arg:"x" validate:"ip"`
	}{}
	if err := r.fill(arguments{options: map[string]any{"x": canary}}, open); err == nil || !strings.Contains(err.Error(), canary) {
		t.Errorf("an option without the tag: got %v, want %s in it", err, canary)
	}
}
