package torture_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/linux-patch/enroll/internal/torture/tally"
)

// table is all rows, by attack.
type table map[string]*tally.Row

// row returns the row of an attack, a new one where there is none.
func (t table) row(attack string) *tally.Row {
	if t[attack] == nil {
		t[attack] = &tally.Row{Attack: attack, PerCall: map[string]int{}, Window: map[string]int{}}
	}
	return t[attack]
}

// load adds what other processes have counted.
func (t table) load(file string) error {
	raw, err := os.ReadFile(file)
	if file == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(raw) {
		r := tally.Row{}
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		t[r.Attack] = &r
	}
	return nil
}

// bad tells whether anything was lost, mixed or leaked.
func (t table) bad() bool {
	for _, r := range t {
		if r.Lost+r.Mixed+r.Leaks > 0 {
			return true
		}
	}
	return false
}

// print writes the table, the points by system call, and the window's calls.
func (t table) print(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "attack\tinjected\tof\truns\tin the window\tlost\tmixed\tleaks\t")
	sum := tally.Row{Attack: "all"}
	line := func(r tally.Row) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Attack, r.Points, r.All, r.Runs, r.InWindow, r.Lost, r.Mixed, r.Leaks)
	}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		r := *t[name]
		line(r)
		sum.Points, sum.All, sum.Runs, sum.InWindow = sum.Points+r.Points, sum.All+r.All, sum.Runs+r.Runs, sum.InWindow+r.InWindow
		sum.Lost, sum.Mixed, sum.Leaks = sum.Lost+r.Lost, sum.Mixed+r.Mixed, sum.Leaks+r.Leaks
	}
	line(sum)
	fmt.Fprintln(w)
	t.printCalls(w)
	_ = w.Flush()
}

// printCalls has one column for each kind of attack: the name up to the colon.
func (t table) printCalls(w io.Writer) {
	kinds, calls := map[string]bool{}, map[string]map[string]int{}
	count := func(kind string, points map[string]int) {
		for call, n := range points {
			if calls[call] == nil {
				calls[call] = map[string]int{}
			}
			kinds[kind] = true
			calls[call][kind] += n
		}
	}
	for name, r := range t {
		kind, _, _ := strings.Cut(name, ":")
		count(kind, r.PerCall)
		count("in the window", r.Window)
	}
	if len(kinds) == 0 {
		return
	}
	columns := slices.Sorted(maps.Keys(kinds))
	fmt.Fprintf(w, "system call\t%s\t\n", strings.Join(columns, "\t"))
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		fmt.Fprint(w, call)
		for _, kind := range columns {
			fmt.Fprintf(w, "\t%d", calls[call][kind])
		}
		fmt.Fprintln(w, "\t")
	}
}

func TestRowsOfOtherProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	lines := `{"attack":"a","points":2,"all":3}` + "\n" + `{"attack":"b","leaks":1}` + "\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := table{}
	rows.row("kill: c").PerCall["fsync"] = 7
	rows.row("kill: c").Window["read"] = 1
	if rows.bad() {
		t.Error("got a bad table before anything was, want a good one")
	}
	if err := rows.load(file); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	rows.print(&text)
	got := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{"a 2 3 0 0 0 0 0", "b 0 0 0 0 0 0 1", "all 2 3 0 0 0 0 1", "system call in the window kill", "fsync 0 7", "read 1 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", text.String(), want)
		}
	}
	if !rows.bad() {
		t.Error("got a good table with a leak, want a bad one")
	}
}
