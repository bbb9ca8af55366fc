package enroll_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
)

// config.yaml is edited twice: it takes a copy of the token, and gives it back.
// Check mode says so, exactly where a real run does it.
func TestCheckModeTellsTheEditsOfTheConfig(t *testing.T) {
	const path = "/etc/linux_patch_api/config.yaml"
	for _, c := range []struct {
		name   string
		before func(*rig)
		change func(*options.Params)
		// copies and clears say what has to be told.
		copies, clears bool
	}{
		{"first enrollment", nil, nil, true, true},
		{"registration", nil, func(p *options.Params) { p.State = "registered" }, true, false},
		{"token in state_dir", nil, func(p *options.Params) { p.TokenStorage = options.TokenInStateDir }, false, false},
		{"a config that everybody reads", func(r *rig) { r.write(path, configText, 0o644) }, nil, false, false},
		{"a config that cannot be edited", func(r *rig) { r.write(path, "enrollment: { } # here\n", 0o640) }, nil, false, false},
		{"a token to take over", func(r *rig) {
			r.manager.token = canary
			r.write(path, configText+"enrollment:\n  polling_token: "+canary+"\n", 0o640)
		}, nil, false, true},
		{"a saved token", (*rig).pending, nil, false, true},
		{"a saved token, registered", (*rig).pending, func(p *options.Params) { p.State = "registered" }, false, false},
		{"an answer that is no token yet", (*rig).answered, nil, true, true},
		{"an answer that is no token yet, registered", (*rig).answered, func(p *options.Params) { p.State = "registered" }, true, false},
		{"a spooled bundle", func(r *rig) {
			r.run(&faultfs.Fs{At: 1, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
				return r.manager.taken && strings.Contains(o.Path, "/certs/.")
			}}, nil)
		}, nil, false, true},
		{"removal", (*rig).pending, func(p *options.Params) { p.State = "absent" }, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if c.before != nil {
				c.before(r)
			}
			r.manager.approved = true
			edits := func(check bool) []string {
				res := r.run(nil, func(p *options.Params) {
					if p.Check = check; c.change != nil {
						c.change(p)
					}
				})
				if res.Failed || strings.Contains(fmt.Sprint(res), canary[:20]) {
					t.Fatal(res.Msg)
				}
				return slices.DeleteFunc(res.Actions, func(a string) bool {
					return !strings.HasPrefix(a, "copy ") && !strings.HasPrefix(a, "take the ")
				})
			}
			var want []string
			if c.copies {
				want = append(want, "copy the polling token to "+path)
			}
			if c.clears {
				want = append(want, "take the polling token out of "+path)
			}
			foreseen := edits(true)
			if did := edits(false); !slices.Equal(foreseen, want) || !slices.Equal(did, want) {
				t.Errorf("foresaw %q, did %q, want %q", foreseen, did, want)
			}
		})
	}
}

// pending is a host with a request under way.
func (r *rig) pending() {
	r.manager.approved = false
	r.run(nil, nil)
}

// answered is a host whose run was killed between the manager's answer and the
// saving of its token.
func (r *rig) answered() {
	r.manager.approved = false
	r.run(&faultfs.Fs{At: 1, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return o.Name == "rename" && strings.HasSuffix(o.Path, "/token")
	}}, nil)
}
