package manager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// choice is how approve and deny name requests.
type choice struct {
	all             bool
	fqdn, machineID string
}

func (c *cli) approve(ctx context.Context, args []string) error {
	return c.decide(ctx, "approve", args, func(api *adminClient, p Pending) error {
		return api.call(ctx, http.MethodPost, pathRequests+"/"+p.ID+"/approve", nil, nil)
	}, "approved")
}

func (c *cli) deny(ctx context.Context, args []string) error {
	return c.decide(ctx, "deny", args, func(api *adminClient, p Pending) error {
		return api.call(ctx, http.MethodDelete, pathRequests+"/"+p.ID, nil, nil)
	}, "denied")
}

// decide does one thing with each chosen request: all are tried, and the
// first refusal decides the exit code.
func (c *cli) decide(ctx context.Context, verb string, args []string, do func(*adminClient, Pending) error, done string) error {
	f, data := c.flags(verb, "--data DIR (--all | --fqdn X | --machine-id X | ID...)")
	var by choice
	f.BoolVar(&by.all, "all", false, "every request that waits; none is no failure. approve leaves out\nexpired ones")
	f.StringVar(&by.fqdn, "fqdn", "", "requests that claim this FQDN")
	f.StringVar(&by.machineID, "machine-id", "", "the request of this machine-id")
	words, err := c.parse(f, data, args)
	if err != nil {
		return err
	}
	if count(by.all, by.fqdn != "", by.machineID != "", len(words) > 0) != 1 {
		return exitf(exitUsage, "%s: say which, in one way: --all, --fqdn, --machine-id, or ids", verb)
	}
	api, err := connect(ctx, osFiles(), *data)
	if err != nil {
		return err
	}
	var rows []Pending
	if err := api.call(ctx, http.MethodGet, pathRequests, nil, &rows); err != nil {
		return err
	}
	if by.all && verb == "approve" {
		// Their hosts have been told that they are unknown.
		rows = slices.DeleteFunc(rows, func(p Pending) bool { return p.Expired })
	}
	chosen, err := by.of(rows, words)
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		_, err := fmt.Fprintln(c.stdout, "no request waits")
		return err
	}
	var failed []error
	for _, p := range chosen {
		if err := do(api, p); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", verb, p.FQDN, withCode(err)))
			continue
		}
		fmt.Fprintf(c.stdout, "%s %s (%s, %s)\n", done, p.FQDN, p.IPAddress, p.ID)
	}
	return errors.Join(failed...)
}

// count tells how many of several ways were used.
func count(given ...bool) int {
	return len(slices.DeleteFunc(given, func(g bool) bool { return !g }))
}

// of picks the rows; it fails when something that was named is not there.
func (by choice) of(rows []Pending, ids []string) ([]Pending, error) {
	var out []Pending
	found := map[string]bool{}
	for _, p := range rows {
		if by.all || slices.Contains(ids, p.ID) || by.machineID == p.MachineID || by.fqdn != "" && strings.EqualFold(by.fqdn, p.FQDN) {
			out = append(out, p)
			found[p.ID] = true
		}
	}
	for _, id := range ids {
		if !found[id] {
			return nil, exitf(exitNotFound, "no request with id %s waits", id)
		}
	}
	if len(out) == 0 && !by.all {
		return nil, exitf(exitNotFound, "no request of %s waits", by.fqdn+by.machineID)
	}
	return out, nil
}

// withCode gives the API's refusals their exit codes.
func withCode(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return &exitError{exitNotFound, err}
	case errors.Is(err, ErrHostExists):
		return &exitError{exitConflict, err}
	}
	return err
}
