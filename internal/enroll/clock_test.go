package enroll_test

import (
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
)

// A host whose clock has fallen behind sees its good certificates as not yet
// valid. Asking for new ones would throw them away, and need an administrator.
func TestGoodSetIsKeptWhileTheClockIsBehind(t *testing.T) {
	r := newRig(t)
	if res := r.run(nil, nil); res.State != contract.StateEnrolled {
		t.Fatal(res.Msg)
	}
	posts, cert := r.manager.posts, r.read(certFile)
	r.now = func() time.Time { return time.Now().Add(-24 * time.Hour) }
	res := r.run(nil, nil)
	if !res.Failed || res.Error.Code != contract.CodeIdentity || r.manager.posts != posts || r.read(certFile) != cert {
		t.Errorf("%+v, %d requests", res.Error, r.manager.posts-posts)
	}
	r.now = time.Now
	if res := r.run(nil, nil); res.Failed || res.Changed {
		t.Errorf("with the clock mended: %s", res.Msg)
	}
}

// At first boot without a battery it is 1970: nothing is asked of the manager.
func TestNothingIsAskedIn1970(t *testing.T) {
	r := newRig(t)
	r.now = func() time.Time { return time.Unix(3600, 0) }
	if res := r.run(nil, nil); !res.Failed || res.Error.Code != contract.CodeIdentity || r.manager.posts != 0 {
		t.Errorf("%s, %d requests", res.Msg, r.manager.posts)
	}
}

// The state of a run that was only to make the request is registered, in this
// run and in the next.
func TestRegisteredIsRegistered(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	for range 2 {
		res := r.run(nil, func(p *options.Params) { p.State = string(contract.StateRegistered) })
		if res.Failed || res.State != contract.StateRegistered || res.PendingSince == "" || r.manager.polls != 0 {
			t.Errorf("%s: %s, %d polls", res.State, res.Msg, r.manager.polls)
		}
	}
	if r.manager.posts != 1 {
		t.Errorf("%d requests", r.manager.posts)
	}
}
