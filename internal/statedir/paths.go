// Package statedir is the state directory: the token, the answer that was not
// put in place yet, the proof, and the record of what enrollment put on this
// host.
//
// What it promises: each call of a Store that changes something changes the
// disk first and what the Store tells after it, so that the two do not differ;
// a record that was written by 0.1.0 is read, and one that is written can be
// read by it; no error quotes a record, since it may hold the token. What it
// does not: it takes no lock. Anyone who changes the directory holds the run lock.
package statedir

import "path/filepath"

// Paths are the files of the state directory. The agent shares them, so both
// take the same lock.
type Paths struct {
	Dir  string
	Lock string
	// Token holds the polling token, alive or dead.
	Token string
	// Request is made before a registration and filled with the new token; an
	// unfilled one says that a registration was sent and its answer is unknown.
	Request string
	// Spool is made before a poll and filled with the raw answer; an unfilled
	// one says that a poll was sent and its answer is unknown.
	Spool string
	// Proof holds the nonce of the enrollment proof until the commit.
	Proof      string
	Journal    string
	Provenance string
}

// PathsIn are the files of the state directory dir.
func PathsIn(dir string) Paths {
	in := func(name string) string { return filepath.Join(dir, name) }
	return Paths{
		Dir: dir, Lock: in("lock"), Token: in("token"), Request: in("request"),
		Spool: in("spool"), Proof: in("proof"), Journal: in("journal"), Provenance: in("provenance.json"),
	}
}

// Files are those that a run replaces.
func (p Paths) Files() []string {
	return []string{p.Token, p.Request, p.Spool, p.Proof, p.Journal, p.Provenance}
}

const (
	// rejectedPrefix begins the names of bundles that can never be used.
	rejectedPrefix = "rejected."
	// clonedPrefix begins the names of files of another host that were set aside.
	// They hold a token, so that a removal takes them too.
	clonedPrefix = "cloned."
)

func (p Paths) aside(path string) string {
	return filepath.Join(p.Dir, clonedPrefix+filepath.Base(path))
}
