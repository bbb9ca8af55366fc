// Package tally counts what attacks came to, for the table at the end of
// `make torture`, which the tests of package torture print. It is for tests alone.
//
// Tests of several packages, each a process of its own, count in one file,
// which the environment names (TORTURE_TABLE). Without it, what is counted in
// a process stays in it.
package tally

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
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
