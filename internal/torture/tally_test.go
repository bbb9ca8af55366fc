package torture_test

import (
	"io"
	"sync"

	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// counter collects the rows of all tests of this package.
type counter struct {
	mu    sync.Mutex
	table table
}

var counted = counter{table: table{}}

// add lets change do something to a row.
func (c *counter) add(name string, change func(*tally.Row)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.table.row(name))
}

// hit counts one point that was attacked.
func (c *counter) hit(name string, call *torture.Call) {
	c.add(name, func(r *tally.Row) {
		r.Points++
		r.PerCall[call.Name]++
	})
}

// lostInWindow counts a point after which an administrator had to act.
func (c *counter) lostInWindow(name string, call *torture.Call) {
	c.add(name, func(r *tally.Row) {
		r.InWindow++
		r.Window[call.Name]++
	})
}

// print prints the table, with what other packages counted in file, and tells
// whether nothing was lost, mixed or leaked.
func (c *counter) print(to io.Writer, file string) (good bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.table.load(file)
	if len(c.table) > 0 {
		c.table.print(to)
	}
	return !c.table.bad(), err
}
