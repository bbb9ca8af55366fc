package daemon

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// torture is how many rounds a test of endurance makes: few in every run, many
// where the environment asks for it (LINUX_PATCH_TORTURE=1).
func torture(few, many int) int {
	if on, _ := strconv.ParseBool(os.Getenv("LINUX_PATCH_TORTURE")); on {
		return many
	}
	return few
}

// Clients that connect without pause, while the certificate is swapped again
// and again as enrollment does it, see no handshake fail, and the new
// certificate within two seconds of each commit.
func TestSwapsUnderHandshakes(t *testing.T) {
	swaps, clients := torture(40, 1000), 50
	h := newHost(t)
	h.install(h.leaf(pkitest.Serial(1)))
	address := h.start().listening()

	// committed[n] is when the certificate of serial number n+1 stood.
	committed := make([]atomic.Int64, swaps+1)
	committed[0].Store(time.Now().UnixNano())
	var newest atomic.Int64
	var handshakes, stalest atomic.Int64
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			config := h.clientTLS()
			config.ServerName = "127.0.0.1"
			for {
				select {
				case <-stop:
					return
				default:
				}
				begun := time.Now().UnixNano()
				served, err := ask(address, config)
				if err != nil {
					t.Errorf("handshake %d: got %v, want no error", handshakes.Load(), err)
					return
				}
				handshakes.Add(1)
				n := int(served.SerialNumber.Int64())
				if int(newest.Load()) < n {
					continue
				}
				// The certificate after the served one stood for so long when
				// this handshake began.
				if after := committed[n].Load(); after > 0 && begun-after > stalest.Load() {
					stalest.Store(begun - after)
				}
			}
		})
	}
	began := time.Now()
	for n := 1; n <= swaps; n++ {
		h.install(h.leaf(pkitest.Serial(int64(n + 1))))
		committed[n].Store(time.Now().UnixNano())
		newest.Store(int64(n))
	}
	took := time.Since(began)
	// The last certificate must come as well.
	h.eventually(func() bool {
		served, err := ask(address, h.clientTLS())
		return err == nil && served.SerialNumber.Int64() == int64(swaps+1)
	}, func() string { return "the last certificate is served" })
	close(stop)
	running.Wait()
	t.Logf("%d swaps in %s, %d handshakes of %d clients; a certificate was served for %s at most after the next stood",
		swaps, took.Round(time.Millisecond), handshakes.Load(), clients, time.Duration(stalest.Load()).Round(time.Millisecond))
	tally.Note(t, func() tally.Row {
		return tally.Row{Attack: "swaps under handshakes", Points: swaps, All: swaps, Runs: int(handshakes.Load())}
	})
	if time.Duration(stalest.Load()) > 15*time.Second {
		t.Error("a new certificate took longer than 15 s")
	}
	if handshakes.Load() < int64(clients) {
		t.Error("hardly a client got through")
	}
}

// Reloading for years leaves nothing behind.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	reloads := torture(400, 10000)
	tally.Note(t, func() tally.Row { return tally.Row{Attack: "reloads", Points: reloads, All: reloads, Runs: 1} })
	h := newHost(t)
	leaves := []*pkitest.Leaf{h.leaf(), h.leaf()}
	h.install(leaves[0])
	h.log.discard = true
	address := h.start().listening()
	reload := func(n int) {
		leaf := leaves[n%2]
		h.write("certs/server.key.pem", leaf.KeyPEM(t))
		h.write("certs/server.pem", leaf.PEM())
		h.write("whitelist.yaml", "entries: [127.0.0.1, 192.0.2."+strconv.Itoa(n%250)+"]\n")
		h.hangup <- os.Interrupt
		if n%10 == 0 {
			if _, err := ask(address, h.clientTLS()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range reloads / 5 {
		reload(n)
	}
	before := footprint(t)
	for n := range reloads {
		reload(n)
	}
	// What is under way still, such as the last reload, ends soon.
	var after size
	h.eventually(func() bool { after = footprint(t); return !after.grown(before) }, func() string {
		return fmt.Sprintf("as much in use as before: got %+v, want %+v", after, before)
	})
	t.Logf("after %d reloads: heap %d KiB, before %d KiB; goroutines %d, before %d; files %d, before %d",
		reloads, after.heap>>10, before.heap>>10, after.goroutines, before.goroutines, after.files, before.files)
}

type size struct {
	heap              uint64
	goroutines, files int
}

// grown reports whether s is more than what a process at rest has by chance.
func (s size) grown(before size) bool {
	return s.heap > before.heap+before.heap/4+512<<10 || s.goroutines > before.goroutines+3 || s.files > before.files+3
}

// footprint measures this process at rest.
func footprint(t *testing.T) size {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return size{m.HeapAlloc, runtime.NumGoroutine(), len(fds)}
}
