package enroll_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
)

const proofFile = "/var/lib/linux_patch_enroll/proof"

// proofOnDisk is what the stored nonce proves of this host.
func (r *rig) proofOnDisk() string {
	r.t.Helper()
	var p struct{ Nonce string }
	if json.Unmarshal([]byte(r.read(proofFile)), &p) != nil {
		return ""
	}
	nonce, err := hex.DecodeString(p.Nonce)
	must(r.t, err)
	if len(nonce) != 32 {
		r.t.Errorf("got a nonce of %d bytes, want 32", len(nonce))
	}
	return approval.Proof(strings.Repeat("ab", 16), nonce)
}

// The nonce is on disk before the request is sent, and gone once the
// certificates are in place.
func TestProofLivesFromTheRequestToTheCommit(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	r.manager.asking = func(asked contract.EnrollmentRequest) {
		if onDisk := r.proofOnDisk(); onDisk == "" || asked.OSDetails.EnrollmentProof != onDisk {
			t.Errorf("got the proof %q in the request, want %q, which the disk holds", asked.OSDetails.EnrollmentProof, onDisk)
		}
	}
	res := r.run(nil, nil)
	if res.Request == nil || res.Request.Proof != r.proofOnDisk() || res.Request.TokenSHA256 != approval.TokenSHA256(r.manager.token) {
		t.Fatalf("got the evidence %+v, want proof and token hash", res.Request)
	}
	if res.Request.IPAddress != "192.0.2.77" || res.Request.SentAt == "" || res.Manager.VerifiedBy != "system" {
		t.Errorf("got %+v verified by %q, want address, time and system", res.Request, res.Manager.VerifiedBy)
	}
	again, info := r.run(nil, nil), r.enroller(nil).Info(context.Background(), options.DefaultInfoParams())
	if *again.Request != *res.Request || info.Request == nil || *info.Request != *res.Request {
		t.Errorf("got %+v from the next run and %+v from info, want %+v", again.Request, info.Request, res.Request)
	}
	r.manager.approved = true
	if res := r.run(nil, nil); res.State != contract.StateEnrolled || res.Request != nil || r.read(proofFile) != "" {
		t.Errorf("got %s, evidence %+v and nonce %q, want enrolled and neither", res.State, res.Request, r.read(proofFile))
	}
}

// A request that is sent again shows the same proof. One that is sent after a
// refusal shows its own, and the lost one stays recognizable.
func TestProofOfALostAnswerIsKept(t *testing.T) {
	r := newRig(t)
	r.manager.lose = true
	lost := r.run(nil, nil)
	first := r.manager.asked.OSDetails.EnrollmentProof
	if lost.Request == nil || lost.Request.Proof != first || lost.Request.TokenSHA256 != "" {
		t.Fatalf("got the evidence %+v, want proof %s and no token", lost.Request, first)
	}
	refused := r.run(nil, nil)
	if got := r.manager.asked.OSDetails.EnrollmentProof; got != first || refused.Request.Proof != first {
		t.Errorf("got %s at the second try, and %+v told, want %s", got, refused.Request, first)
	}
	for range 2 {
		res := r.run(nil, nil)
		if got := r.manager.asked.OSDetails.EnrollmentProof; got == first || res.Request.Proof != got || res.Request.EarlierProof != first {
			t.Errorf("got %s sent and %+v told, want a new proof, and %s as the earlier one", got, res.Request, first)
		}
	}
	r.manager.forget()
	r.manager.lose = false
	if res := r.run(nil, nil); res.State != contract.StateEnrolled || r.read(proofFile) != "" {
		t.Errorf("got %s: %s, want enrolled and no nonce", res.State, res.Msg)
	}
}

// A proof that an administrator denied is never shown again.
func TestProofAfterADenialIsNew(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	r.run(nil, nil)
	first := r.manager.asked.OSDetails.EnrollmentProof
	r.manager.forget()
	if res := r.run(nil, nil); !res.Failed {
		t.Fatalf("got %s, want the token to be unknown", res.State)
	}
	r.run(nil, nil)
	if second := r.manager.asked.OSDetails.EnrollmentProof; second == first {
		t.Errorf("got the denied proof %s again, want another", second)
	}
}

// A token that a deployed agent left in config.yaml is evidence, and how that
// agent verified the manager is unknown.
func TestProofOfADeployedAgentsToken(t *testing.T) {
	r := newRig(t)
	r.write("/etc/linux_patch_api/config.yaml", configText+"enrollment:\n  polling_token: "+canary+"\n", 0o640)
	info := r.enroller(nil).Info(context.Background(), options.DefaultInfoParams())
	if info.Request == nil || info.Request.TokenSHA256 != approval.TokenSHA256(canary) || info.Manager.VerifiedBy != "unknown" {
		t.Errorf("got %+v verified by %q, want the hash of the token in config.yaml and unknown", info.Request, info.Manager.VerifiedBy)
	}
	r.manager.approved, r.manager.token = false, canary
	res := r.run(nil, nil)
	if res.State != contract.StatePending || res.Manager.VerifiedBy != "unknown" || res.Request.TokenSHA256 != approval.TokenSHA256(canary) {
		t.Errorf("got %s, %+v verified by %q, want the token taken over", res.State, res.Request, res.Manager.VerifiedBy)
	}
}

func TestProofIsRemovedWithTheEnrollment(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	r.run(nil, nil)
	r.run(nil, func(p *options.Params) { p.State = "absent" })
	if left := r.read(proofFile); left != "" {
		t.Errorf("got %q left behind, want nothing", left)
	}
}
