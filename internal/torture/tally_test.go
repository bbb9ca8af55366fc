package torture_test

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/linux-patch/enroll/internal/torture"
)

// row is what one attack came to.
type row struct {
	// points were hit, of all that there are.
	points, all int
	runs        int
	// inWindow are points between the manager's act and the fsync of its
	// answer, after which an administrator had to act.
	inWindow           int
	lost, mixed, leaks int
	perCall            map[string]int
}

type table struct {
	mu   sync.Mutex
	rows map[string]*row
}

// tally collects the rows of all tests.
var tally = table{rows: map[string]*row{}}

// add lets change do something to a row.
func (t *table) add(name string, change func(*row)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[name]
	if r == nil {
		r = &row{perCall: map[string]int{}}
		t.rows[name] = r
	}
	change(r)
}

// hit counts one point that was attacked.
func (t *table) hit(name string, c *torture.Call) {
	t.add(name, func(r *row) {
		r.points++
		r.perCall[c.Name]++
	})
}

func (t *table) print(to io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "attack\tpoints\tof\truns\tin the window\tlost\tmixed\tleaks\t")
	total := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(t.rows)) {
		r := t.rows[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, r.points, r.all, r.runs, r.inWindow, r.lost, r.mixed, r.leaks)
		for call, n := range r.perCall {
			total[call] += n
		}
	}
	_ = w.Flush()
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(total)) {
		calls = append(calls, fmt.Sprintf("%s %d", name, total[name]))
	}
	fmt.Fprintf(to, "points by system call: %s\n", strings.Join(calls, ", "))
}
