// Package tally counts what attacks came to, and prints it as one table at the
// end of `make torture`. It is for tests alone.
//
// Tests of several packages, each a process of its own, count in one file,
// which the environment names (TORTURE_TABLE). Without it, what is counted in
// a process stays in it.
package tally

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// Row is what one attack came to.
type Row struct {
	Attack string `json:"attack"`
	// Points were hit, of All that there are.
	Points int `json:"points"`
	All    int `json:"all"`
	Runs   int `json:"runs"`
	// InWindow are points between the manager's act and the fsync of its
	// answer, after which an administrator had to act.
	InWindow int `json:"in_window"`
	Lost     int `json:"lost"`
	Mixed    int `json:"mixed"`
	Leaks    int `json:"leaks"`
	// PerCall counts the points by system call, and Window those in the window.
	PerCall map[string]int `json:"per_call,omitempty"`
	Window  map[string]int `json:"window,omitempty"`
}

// Table is all rows, by attack.
type Table map[string]*Row

// Row returns the row of an attack, a new one where there is none.
func (t Table) Row(attack string) *Row {
	if t[attack] == nil {
		t[attack] = &Row{Attack: attack, PerCall: map[string]int{}, Window: map[string]int{}}
	}
	return t[attack]
}

// Note is for a test whose process prints no table: when it ends, the row is
// added to the file. A test that has failed has lost something.
func Note(t testing.TB, row func() Row) {
	t.Helper()
	t.Cleanup(func() {
		r := row()
		if t.Failed() {
			r.Lost = max(r.Lost, 1)
		}
		if err := appendTo(os.Getenv("TORTURE_TABLE"), r); err != nil {
			t.Error(err)
		}
	})
}

func appendTo(file string, r Row) error {
	if file == "" {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Load adds what other processes have counted.
func (t Table) Load(file string) error {
	raw, err := os.ReadFile(file)
	if file == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(raw) {
		r := Row{}
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		t[r.Attack] = &r
	}
	return nil
}

// Bad tells whether anything was lost, mixed or leaked.
func (t Table) Bad() bool {
	for _, r := range t {
		if r.Lost+r.Mixed+r.Leaks > 0 {
			return true
		}
	}
	return false
}

// Print writes the table, the points by system call, and the window's calls.
func (t Table) Print(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "attack\tinjected\tof\truns\tin the window\tlost\tmixed\tleaks\t")
	sum := Row{Attack: "all"}
	line := func(r Row) {
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
func (t Table) printCalls(w io.Writer) {
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
