package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fleet of the figures.
const (
	fleetHosts  = 500
	fleetSquats = 50
	fleetPlants = 2000
)

// BenchmarkFleet measures an approval by proof among planted requests, and fails
// on one wrong approval: make bench PARTS=fleet.
func BenchmarkFleet(t *testing.B) {
	l := newLab(t, "--rate-limit", "off")
	hosts, squats := l.plantedFleet()
	arguments := l.lookAlikes()
	began := time.Now()
	r := l.approve(arguments, hosts...)
	if r.Counts["approved"] != fleetHosts-fleetSquats || r.Counts["blocked"] != fleetSquats {
		t.Fatalf("got %s", r.Msg)
	}
	requests := r.Requests["total"]
	var again []*host
	for _, h := range hosts {
		if r.Results[h.name].RegisterAgain {
			h.repairs = 1
			h.post()
			again = append(again, h)
		}
	}
	second := l.approve(arguments, again...)
	took := time.Since(began)
	requests += second.Requests["total"]
	if second.Counts["approved"] != fleetSquats {
		t.Fatalf("got %s", second.Msg)
	}
	wrong := l.wrongApprovals(hosts, squats)
	t.Logf("figures: %d hosts, %d planted requests: %d squats repaired, %d wrong approvals, %d requests, %s",
		fleetHosts, fleetPlants, second.Counts["approved"], wrong, requests, took.Round(time.Millisecond))
	if wrong != 0 {
		t.Errorf("got %d wrong approvals, want none", wrong)
	}
	if most := fleetHosts + 12 + 4*fleetSquats; requests > most {
		t.Errorf("got %d requests, want at most %d", requests, most)
	}
}

// BenchmarkLimits approves a fleet at the deployed limits, which takes four minutes.
func BenchmarkLimits(t *testing.B) {
	l := newLab(t, "--rate-limit", "off")
	var hosts []*host
	for i := range fleetHosts {
		hosts = append(hosts, l.registered(fmt.Sprintf("n%d", i)))
	}
	l.stop()
	l.start()
	began := time.Now()
	r := l.approve(nil, hosts...)
	took := time.Since(began)
	t.Logf("figures: at the deployed limits: %d approvals, %d requests, %s", r.Counts["approved"], r.Requests["total"], took.Round(time.Millisecond))
	if r.Counts["approved"] != fleetHosts || r.Requests["total"] > fleetHosts+12 || took > 252*time.Second {
		t.Errorf("got %s with %d requests in %s, want all of them with at most %d in 252 s", r.Msg, r.Requests["total"], took, fleetHosts+12)
	}
}

// BenchmarkJunk measures one approval of 500 hosts among 50,000 junk requests,
// which are planted first.
func BenchmarkJunk(t *testing.B) {
	l := newLab(t, "--rate-limit", "off")
	for i := range 50_000 {
		h := l.host("junk")
		h.fqdn = fmt.Sprintf("junk%d.example.org", i)
		h.post()
	}
	var hosts []*host
	for i := range fleetHosts {
		hosts = append(hosts, l.registered(fmt.Sprintf("n%d", i)))
	}
	began := time.Now()
	r := l.approve(nil, hosts...)
	took := time.Since(began)
	t.Logf("figures: among 50000 junk requests: %d approvals, %s, %d MB of memory", r.Counts["approved"], took.Round(time.Millisecond), r.rss)
	if r.Counts["approved"] != fleetHosts || took > 15*time.Second || r.rss > 150 {
		t.Errorf("got %s in %s with %d MB, want all approved in 15 s with 150 MB", r.Msg, took, r.rss)
	}
}

// plantedFleet plants first, then registers: look-alikes of each host, noise,
// and squats on machine-ids.
func (l *lab) plantedFleet() (hosts, squats []*host) {
	for i := range fleetHosts {
		hosts = append(hosts, l.host(fmt.Sprintf("n%d", i)))
	}
	looks := []func(h, own *host){
		func(h, own *host) { h.fqdn = own.fqdn },
		func(h, own *host) { h.fqdn, h.ip = own.fqdn, own.ip },
		func(h, own *host) { h.fqdn = strings.ToUpper(own.fqdn) },
		func(h, own *host) { h.fqdn = "dot-" + own.fqdn },
		func(h, own *host) { h.fqdn = "xn--" + own.fqdn },
		func(h, own *host) { h.fqdn = "blank-" + own.fqdn },
		func(h, own *host) { h.fqdn = "noise-" + own.fqdn },
	}
	for i := range fleetPlants - fleetSquats {
		h, own := l.host("planted"), hosts[i%len(hosts)]
		looks[i%len(looks)](h, own)
		if code := h.post(); code != http.StatusAccepted {
			l.t.Fatalf("planting %s: %d", h.fqdn, code)
		}
	}
	for i := range fleetSquats {
		squat := l.host("squat")
		squat.machine, squat.fqdn = hosts[i].machine, hosts[i].fqdn
		squat.post()
		squats = append(squats, squat)
	}
	for _, h := range hosts {
		h.post()
	}
	return hosts, squats
}

// lookAlikes are the arguments for a manager that takes any name: the reference
// manager refuses some, which are made on the way.
func (l *lab) lookAlikes() map[string]any {
	var pairs []string
	for i := range fleetHosts {
		name := fmt.Sprintf("n%d.example.com", i)
		pairs = append(pairs, `"dot-`+name+`"`, `"`+name+`."`, `"blank-`+name+`"`, `"`+name+` "`)
	}
	way := l.newRelay(func(string) bool { return false })
	way.rewrite = strings.NewReplacer(pairs...)
	arguments := way.arguments()
	arguments["on_blocked"] = "deny"
	return arguments
}

// wrongApprovals counts the hosts of the manager that are none of the fleet's
// own requests, and the fleet's that are missing.
func (l *lab) wrongApprovals(hosts, squats []*host) int {
	wrong := 0
	for _, h := range hosts {
		if !strings.Contains(h.poll(), "server_key") {
			wrong++
		}
	}
	for _, s := range squats {
		if s.token != "" && strings.Contains(s.poll(), "server_key") {
			wrong++
		}
	}
	var all []string
	for id := range l.serials() {
		all = append(all, id)
	}
	slices.Sort(all)
	return wrong + len(slices.Compact(all)) - len(hosts)
}
