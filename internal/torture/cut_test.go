package torture_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/torture/tally"
)

// TestResetAtEachByte cuts a good answer at each offset. What it held is gone
// then, so nothing can be put in place; the next run says so, and what an
// administrator does about it.
func TestResetAtEachByte(t *testing.T) {
	const workers = 2
	ca := newRaw(t)
	for _, c := range []struct {
		name, whole string
		// cut lets the manager give this answer, and after lets it say what it
		// says to whom it has answered already.
		cut   func(m *raw, answer string)
		after func(m *raw)
		code  string
	}{
		{
			"of the token", frame(202, fmt.Sprintf(`{"polling_token":%q}`, canary)),
			func(m *raw, answer string) { m.post = writes(answer) },
			func(m *raw) { m.post = answers(409, `{"error":"exists"}`) }, "ENROLL_CONFLICT",
		},
		{
			"of the bundle", frame(200, ca.bundle(t, nil)),
			func(m *raw, answer string) { m.get = writes(answer) },
			func(m *raw) { m.get = answers(200, `{"status":"notfound"}`) }, "ENROLL_BUNDLE_LOST",
		},
	} {
		stride := 1
		if !full {
			stride = len(c.whole)/7 + 1
		}
		name := "reset at each byte " + c.name
		counted.add(name, func(r *tally.Row) { r.All = len(c.whole) })
		for worker := range workers {
			t.Run(fmt.Sprintf("%s, %d", c.name, worker), func(t *testing.T) {
				t.Parallel()
				m, h := newRaw(t), newHost(t)
				post := m.post
				for cut := worker * stride; cut < len(c.whole); cut += workers * stride {
					h.layOut()
					m.post = post
					c.cut(m, c.whole[:cut])
					r := h.run(h.command(nil, h.commandFor(m, nil)))
					h.unharmed(t, r)
					c.after(m)
					next := h.run(h.command(nil, h.commandFor(m, nil)))
					if next.code() != c.code || !strings.Contains(next.Error.Hint, "administrator") {
						counted.add(name, func(r *tally.Row) { r.Lost++ })
						t.Errorf(`cut at %d, and the next run says %s: got %s, want next.code() %v, "administrator" in it`, cut, next.code(), next.Msg, c.code)
					}
					counted.add(name, func(r *tally.Row) { r.Points++; r.Runs += 2 })
				}
			})
		}
	}
	t.Run("not at all", func(t *testing.T) {
		m, h := newRaw(t), newHost(t)
		m.get = answers(200, m.bundle(t, nil))
		if r := h.run(h.command(nil, h.commandFor(m, nil))); r.State != "enrolled" {
			t.Errorf(`the whole answer: got %s, want "enrolled"`, r.raw)
		}
	})
}
