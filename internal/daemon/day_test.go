package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
)

// sleepy is a manager whose administrator approves after a time. It forgets
// requests after 24 h (contract, deployed behaviour).
type sleepy struct {
	approveAfter      time.Duration
	bundle            []byte
	begun, registered time.Time
	registrations     int
	polls             []time.Time
}

func (m *sleepy) Register(context.Context, func(netip.Addr) contract.EnrollmentRequest) (managerclient.Registration, error) {
	m.registered = time.Now()
	m.registrations++
	return managerclient.Registration{Token: "TokenCanary0123456789abcdefghijkl"}, nil
}

func (m *sleepy) Poll(context.Context, string) (managerclient.Answer, error) {
	m.polls = append(m.polls, time.Now())
	if time.Since(m.registered) >= 24*time.Hour {
		return managerclient.Answer{HTTPStatus: http.StatusNotFound}, nil
	}
	if time.Since(m.begun) < m.approveAfter {
		return managerclient.Answer{HTTPStatus: http.StatusAccepted}, nil
	}
	return managerclient.Answer{HTTPStatus: http.StatusOK, Body: m.bundle, PeerIP: netip.MustParseAddr("192.0.2.1")}, nil
}

func (m *sleepy) UsesProxy() bool { return false }

type someone struct{}

func (someone) Gather(context.Context, identity.Options) (identity.Host, []string, error) {
	return identity.Host{MachineID: strings.Repeat("a", 32), FQDN: "web1.example.com", IP: netip.MustParseAddr("192.0.2.10")}, nil, nil
}

func (someone) MachineID() (string, error) { return strings.Repeat("a", 32), nil }

type noAudit struct{}

func (noAudit) Record(contract.Event, map[string]string) error { return nil }

// enrollerFor enrolls the host with a manager of the test.
func (h *host) enrollerFor(manager converse.ManagerClient, now func() time.Time) *enroll.Enroller {
	return &enroll.Enroller{
		Files: h.over(&faultfs.Fs{Inner: afero.NewOsFs(), NoSync: true, Match: func(faultfs.Op) bool { return false }}), Given: afero.NewOsFs(),
		Identity: someone{}, Accounts: options.HostAccounts{},
		Dial:  func(managerclient.Options) (converse.ManagerClient, error) { return manager, nil },
		Audit: func(string) audit.Recorder { return noAudit{} },
		Now:   now,
		Rand:  func() float64 { return 0.999 }, Secret: func(string) {}, Progress: func(converse.Progress) {},
	}
}

// moody is a manager with troubles: outcomes are what its polls say, one after
// the other, the last one ever after.
type moody struct {
	sleepy
	busy     int // registrations that meet the rate limit
	outcomes []string
}

const toldToWait = 100 * time.Second

func (m *moody) Register(ctx context.Context, seenFrom func(netip.Addr) contract.EnrollmentRequest) (managerclient.Registration, error) {
	if m.busy--; m.busy >= 0 {
		m.registrations++
		return managerclient.Registration{}, &managerclient.RequestError{RetryAfter: toldToWait, Err: contract.Errorf(contract.CodeRateLimited, "busy")}
	}
	return m.sleepy.Register(ctx, seenFrom)
}

func (m *moody) Poll(context.Context, string) (managerclient.Answer, error) {
	outcome := m.outcomes[min(len(m.polls), len(m.outcomes)-1)]
	m.polls = append(m.polls, time.Now())
	switch outcome {
	case "away":
		return managerclient.Answer{}, &managerclient.RequestError{Err: contract.Errorf(contract.CodeUnreachable, "away")}
	case "busy":
		return managerclient.Answer{HTTPStatus: http.StatusTooManyRequests, RetryAfter: toldToWait}, nil
	case "approved":
		return managerclient.Answer{HTTPStatus: http.StatusOK, Body: m.bundle, PeerIP: netip.MustParseAddr("192.0.2.1")}, nil
	}
	return managerclient.Answer{HTTPStatus: http.StatusAccepted}, nil
}

// A first enrollment waits as it is told and as its configuration says, and
// gives up after five failed polls in a row, as a run that waits.
func TestFirstEnrollmentMeetsTroubles(t *testing.T) {
	const away = "away"
	for name, test := range map[string]struct {
		manager moody
		polls   int
		code    contract.Code
	}{
		"outages that end":        {moody{outcomes: []string{away, away, away, away, "pending", away, away, away, away, "approved"}}, 10, ""},
		"an outage that does not": {moody{outcomes: []string{"pending", away}}, 6, contract.CodeUnreachable},
		"rate limits":             {moody{busy: 3, outcomes: []string{"busy", "busy", "busy", "busy", "busy", "busy", "approved"}}, 7, ""},
	} {
		h := newHost(t)
		bundle, err := json.Marshal(contract.PollingStatus{Status: contract.StatusApproved, PkiBundle: h.leaf().Bundle(t)})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		synctest.Test(t, func(t *testing.T) {
			manager := &test.manager
			manager.bundle = bundle
			begun := time.Now()
			d := h.daemon("--enroll", "https://192.0.2.1")
			d.enroller = h.enrollerFor(manager, func() time.Time { return start.Add(time.Since(begun)) })
			var last converse.Progress
			res := d.newAgent().enrollFirst(t.Context(), func(m converse.Progress) { last = m })
			if len(manager.polls) != test.polls || res.Failed != (test.code != "") || res.Failed && res.Error.Code != test.code {
				t.Errorf("%s: %d polls: %s", name, len(manager.polls), res.Msg)
			}
			checkGaps(t, "polls", manager.registered, manager.polls, 300*time.Second)
			for i := 1; name == "rate limits" && i < len(manager.polls); i++ {
				if gap := manager.polls[i].Sub(manager.polls[i-1]); gap < toldToWait {
					t.Errorf("%s between two polls, told to wait for %s, want %v at least", gap, toldToWait, toldToWait)
				}
			}
			if waited := manager.registered.Sub(begun); name == "rate limits" && (waited < 3*toldToWait || last.Attempts != 0) {
				t.Errorf("registered after %s, %d attempts", waited, last.Attempts)
			}
		})
	}
}

// Thirty hours of waiting for approval, on a clock of its own: the manager is
// asked often enough and not too often, a request that it forgets after a day
// is made again, systemd sees signs of life all the time, the log does not grow
// by the minute, and at the end the same process listens.
func TestADayOfPolling(t *testing.T) {
	const wait = 30 * time.Hour
	h := newHost(t)
	bundle, err := json.Marshal(contract.PollingStatus{Status: contract.StatusApproved, PkiBundle: h.leaf().Bundle(t)})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	synctest.Test(t, func(t *testing.T) {
		manager := &sleepy{approveAfter: wait, bundle: bundle, begun: time.Now()}
		ctx, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		begun := time.Now()
		var alive []time.Time
		// A select is idle for the clock where all of its channels are of here.
		h.hangup = make(chan os.Signal)
		d := h.daemon("--enroll", "https://192.0.2.1")
		d.enroller = h.enrollerFor(manager, func() time.Time { return start.Add(time.Since(begun)) })
		var first, last uint64
		d.notify = notifier{watchdog: 30 * time.Second, tell: func(datagram string) error {
			switch {
			case strings.HasPrefix(datagram, "WATCHDOG"):
				alive = append(alive, time.Now())
				switch len(alive) {
				case 500:
					first = heap()
				case 5500:
					last = heap()
				}
			case strings.Contains(datagram, "STATUS=listening"):
				stop(errors.New("the test is over"))
			}
			return nil
		}}
		a := d.newAgent()
		if err := a.begin(ctx); err != nil {
			t.Fatal(err)
		}
		if err := a.loop(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if a.state != stateListening {
			t.Errorf("state %s, want %v", a.state, stateListening)
		}
		if err := a.end(func() { stop(nil); a.background.Wait() }); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took < wait || took > wait+5*time.Minute {
			t.Errorf("took %s", took)
		}
		if n := len(manager.polls); n < 1500 || n > 2100 {
			t.Errorf("polled %d times", n)
		}
		if manager.registrations != 2 {
			t.Errorf("registered %d times, want 2", manager.registrations)
		}
		checkGaps(t, "polls", begun, manager.polls, 300*time.Second)
		checkGaps(t, "signs of life", begun, alive, 30*time.Second)
		if last > first+first/4+512<<10 {
			t.Errorf("the heap grew from %d to %d, want %v at most", first, last, first+first/4+512<<10)
		}
		t.Logf("%d polls, %d signs of life; heap %d KiB after two hours, %d KiB after 23", len(manager.polls), len(alive), first>>10, last>>10)
	})
	if n := strings.Count(h.log.String(), "\n"); n > 30*4+60 {
		t.Errorf("got %d lines of log in 30 hours, want %v at most", n, 30*4+60)
	}
	if strings.Contains(h.log.String(), "TokenCanary") {
		t.Error("the log holds the token")
	}
	if _, err := os.Stat(h.path("run/status.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the status file: got %v, want %v", err, os.ErrNotExist)
	}
}

func checkGaps(t *testing.T, what string, begun time.Time, at []time.Time, most time.Duration) {
	t.Helper()
	before := begun
	for _, now := range at {
		if gap := now.Sub(before); gap >= most {
			t.Errorf("%s between two %s, want less than %v", gap, what, most)
			return
		}
		before = now
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
