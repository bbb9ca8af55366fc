package torture_test

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/linux-patch/enroll/internal/torture"
)

// lostAt collects the calls at which a kill cost an answer of the manager.
type lostAt struct {
	mu   sync.Mutex
	seen map[string]map[string]int
}

var window = lostAt{seen: map[string]map[string]int{}}

func (w *lostAt) add(name string, ended torture.Ended) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[name] == nil {
		w.seen[name] = map[string]int{}
	}
	w.seen[name][ended.Hit.Kind.String()+" "+ended.Hit.Name]++
}

func (w *lostAt) print(to io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.seen)) {
		fmt.Fprintf(to, "in the window of %q:", name)
		for _, call := range slices.Sorted(maps.Keys(w.seen[name])) {
			fmt.Fprintf(to, " %s %d", call, w.seen[name][call])
		}
		fmt.Fprintln(to)
	}
}
