package ansible

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/converse"
)

// Before an approval a person at a terminal reads what to compare, once.
func TestField4_4_TellApprover(t *testing.T) {
	var out bytes.Buffer
	tell := Program{Stdout: &out}.progress()
	tell(converse.Progress{Phase: converse.PhaseRegister})
	for range 2 {
		tell(converse.Progress{Phase: converse.PhasePoll, FQDN: "web1.example.com", MachineID: "3d1219c7c4c5404aaa1f6d2a48adfda4"})
	}
	tell(converse.Progress{Phase: converse.PhaseWait, Attempts: 2, Next: time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)})
	tell(converse.Progress{Phase: converse.PhaseProvision})
	want := "registering\nwaiting for approval: fqdn web1.example.com, machine_id 3d1219c7c4c5404aaa1f6d2a48adfda4\n" +
		"waiting for approval: polls so far: 2, next poll at 12:00:00\nputting certificates in place\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// Ansible reads JSON and nothing else.
func TestField4_4_AnsibleIsKnown(t *testing.T) {
	for raw, want := range map[string]bool{`{}`: false, `{"wait":true}`: false, `{"_ansible_check_mode":false}`: true, `{"_ansible_anything":1}`: true} {
		a, err := split([]byte(raw), ModuleEnrollment)
		if err != nil || a.control.Ansible != want {
			t.Errorf("%s: got %v, %v, want %v", strings.TrimSpace(raw), a.control.Ansible, err, want)
		}
	}
}
