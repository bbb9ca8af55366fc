// Package converse talks with the manager: who this host is, a registration, and
// polls until an administrator has decided.
//
// It promises that an answer is on disk before it is judged, that what was sent
// is marked on disk before it is sent, and that a polling token goes to its own
// manager alone. It does not judge a bundle, and puts none in place.
package converse

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// ManagerClient asks one manager. *managerclient.Client is the real one.
type ManagerClient interface {
	// Register sends the request that seenFrom makes for this host's address on
	// the connection.
	Register(ctx context.Context, seenFrom func(local netip.Addr) contract.EnrollmentRequest) (managerclient.Registration, error)
	Poll(ctx context.Context, token string) (managerclient.Answer, error)
	UsesProxy() bool
}

// Identity finds out who this host is. identity.Source is the real one.
type Identity interface {
	Gather(ctx context.Context, o identity.Options) (identity.Host, []string, error)
	// MachineID is the part of Gather that costs one read.
	MachineID() (string, error)
}

// Progress is one moment of a run, for anyone who watches it.
type Progress struct {
	Phase    Phase
	Attempts int
	// Next is when the manager is asked again; zero where it is not.
	Next time.Time
	// MachineID and FQDN are what an approver compares, once they are known.
	MachineID, FQDN string
}

// Phase is a part of a run.
type Phase string

// The phases of a run.
const (
	PhaseRegister  Phase = "registering"
	PhaseWait      Phase = "waiting for approval"
	PhasePoll      Phase = "asking the manager"
	PhaseProvision Phase = "putting certificates in place"
)

// Conversation is one run's talk with its manager.
type Conversation struct {
	*install.Installer
	Dial     func(managerclient.Options) (ManagerClient, error)
	Identity Identity
	// Given is where files are read from that an option names and that this
	// program only reads; links are followed there.
	Given afero.Fs
	// Rand is uniform in [0, 1); it spreads polls.
	Rand func() float64
	// Progress is told each phase of a run; nothing waits for it.
	Progress func(Progress)
	// Program is the name and version that managers see.
	Program string
	// Deadline is when wait_timeout ends; zero where it does not.
	Deadline time.Time
	// Doubted says that a dead token is asked once more, and was not answered yet.
	Doubted bool
	// certificate is the SHA-256 of what the manager presented last, a string; a
	// dial that was given up may still tell it.
	certificate atomic.Value
}
