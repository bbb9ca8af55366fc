package ansible

import (
	"fmt"

	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/plaintext"
)

// longestText is how much of one text from elsewhere a person is shown.
const longestText = 200

// progress returns what shows a person how a waiting run goes on. It names once,
// before the approval, what an administrator compares.
func (p Program) progress() func(converse.Progress) {
	told := false
	return func(m converse.Progress) {
		if !told && m.FQDN != "" {
			p.say("waiting for approval: fqdn %s, machine_id %s", plaintext.Line(m.FQDN, longestText), m.MachineID)
			told = true
		}
		switch m.Phase {
		case converse.PhaseWait:
			p.say("%s: polls so far: %d, next poll at %s", m.Phase, m.Attempts, m.Next.Local().Format("15:04:05"))
		case converse.PhaseRegister, converse.PhaseProvision:
			p.say("%s", m.Phase)
		case converse.PhasePoll:
			// The line of the wait before it named the time of this one.
		}
	}
}

func (p Program) say(format string, args ...any) { fmt.Fprintf(p.Stdout, format+"\n", args...) }
