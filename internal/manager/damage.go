package manager

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/afero"
	"go.etcd.io/bbolt"
)

// errDamaged refuses a database. What to do about it depends on nothing that
// is known here.
var errDamaged = errors.New("is damaged: restore it from a backup, or start with another data directory and enroll all hosts anew")

// checkDatabase looks at the file before bbolt maps it: reading a map beyond
// the end of its file kills the process.
func checkDatabase(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsDir() || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if err := onlyOurs(path, info); err != nil {
		return err
	}
	// A running manager may be writing to it. bbolt takes this lock again.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("open %s: another manager is running on it", path)
	}
	end, err := highWater(f)
	if err != nil {
		return err
	}
	if end > uint64(info.Size()) {
		return fmt.Errorf("%s (%d bytes of %d) %w", path, info.Size(), end, errDamaged)
	}
	if end == 0 {
		return fmt.Errorf("%s %w", path, errDamaged)
	}
	return nil
}

// The layout of bbolt's two first pages: a page header, then the meta record,
// which ends in its checksum.
const (
	metaStart  = 16
	metaLength = 64
	metaMagic  = 0xED0CDAED
	// The page size stands in the first record. The second is looked for where
	// each usual page size puts it.
	smallestPage = 1 << 10
	largestPage  = 64 << 10
)

// highWater returns how long the file has to be by its newest valid record, 0
// if there is none.
func highWater(f io.ReaderAt) (end uint64, err error) {
	var newest uint64
	for at := int64(0); at <= largestPage; at = max(at*2, smallestPage) {
		raw := make([]byte, metaLength)
		if _, err := f.ReadAt(raw, at+metaStart); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
		size, pages, id, ok := parseMeta(raw)
		if ok && (at == 0 || uint64(at) == size) && (end == 0 || id > newest) {
			newest, end = id, pages*size
		}
	}
	return end, nil
}

func parseMeta(raw []byte) (pageSize, pages, txid uint64, ok bool) {
	order := binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(raw[:metaLength-8])
	ok = order.Uint32(raw) == metaMagic && order.Uint64(raw[metaLength-8:]) == sum.Sum64()
	return uint64(order.Uint32(raw[8:])), order.Uint64(raw[40:]), order.Uint64(raw[48:]), ok
}

// guarded turns what a damaged map does to a reader into an error.
func guarded(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%s %w", path, errDamaged)
		}
	}()
	return f()
}

// checkRows reads every row, and sees that each index leads to one.
func checkRows(tx *bbolt.Tx) error {
	rows := map[string]func([]byte) error{
		string(bPending): decodes[storedPending], string(bHosts): decodes[Host], string(bIssued): decodes[Certificate],
		string(bRevoked): decodes[Revocation], string(bAccounts): decodes[storedAccount],
	}
	indexes := map[string][]byte{
		string(bPendingToken): bPending, string(bPendingMachine): bPending, string(bPendingExpiry): bPending,
		string(bHostFQDN): bHosts, string(bHostIP): bHosts, string(bHostMachine): bHosts,
	}
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			ok := true
			if decode := rows[string(name)]; decode != nil {
				ok = decode(v) == nil
			}
			if of := indexes[string(name)]; of != nil {
				target := tx.Bucket(of)
				ok = target != nil && target.Get(v) != nil
			}
			if !ok || len(slices.Concat(k, v)) == 0 {
				return errDamaged
			}
			return nil
		})
	})
}

func decodes[T any](raw []byte) error {
	var v T
	return json.Unmarshal(raw, &v)
}

// onlyOurs refuses a file with secrets that others have access to: what they
// read or wrote cannot be undone by closing it.
func onlyOurs(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s is open to others (mode %04o): if no one can have used that, run chmod 600 %s", path, mode, path)
	}
	return nil
}

// secretFile reads a file that only its owner may have access to.
func secretFile(f afero.Afero, path string) ([]byte, error) {
	info, err := f.Stat(path)
	if err == nil {
		err = onlyOurs(path, info)
	}
	if err != nil {
		return nil, err
	}
	return f.ReadFile(path)
}

// exists reports whether a file of the data directory is there, or cannot be
// looked at.
func (s *Server) exists(name string) bool {
	_, err := s.fs.Stat(s.path(name))
	return !errors.Is(err, fs.ErrNotExist)
}

// openDatabase opens the database, or makes it at the first start: never under
// a CA that was there before, whose hosts a new database would not know.
func (s *Server) openDatabase() (*store, error) {
	path := s.path(fileDatabase)
	oldCA := s.exists(fileCAKey) || s.exists(fileCA)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && oldCA:
		return nil, fmt.Errorf("%w: the CA in %s has hosts that a new database would not know: restore it from a backup", err, s.opt.Dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err == nil && info.Size() == 0 && oldCA:
		return nil, fmt.Errorf("%s is empty: restore it from a backup, since the CA in %s has hosts that a new one would not know", path, s.opt.Dir)
	case err == nil && info.Size() > 0:
		if err := checkDatabase(path); err != nil {
			return nil, err
		}
	}
	var st *store
	err = guarded(path, func() (err error) {
		st, err = openStore(path)
		return err
	})
	return st, err
}

// checkCA sees that the database and the CA are of each other, before a CA is
// made.
func (s *Server) checkCA() error {
	mark, used := "", false
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		mark = string(tx.Bucket(bMeta).Get(keyCA))
		used = mark != "" || tx.Bucket(bMeta).Get(keyCRLNumber) != nil
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range []string{fileCAKey, fileCA} {
		if used && !s.exists(name) {
			return fmt.Errorf("%s: %w: restore it from a backup: %s has hosts of that CA", s.path(name), fs.ErrNotExist, fileDatabase)
		}
	}
	// The first start writes the CA's mark before any of these.
	if !used && s.exists(fileCA) && (s.exists(fileAdminToken) || s.exists(fileCRL)) {
		return fmt.Errorf("%s is new, and %s is not: restore the database from a backup", s.path(fileDatabase), fileCA)
	}
	return nil
}

// markCA writes down which CA the database is of. Version 0.1.0 did not.
func (s *Server) markCA() error {
	return s.store.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bMeta)
		own := fingerprint(s.ca.cert)
		if mark := string(b.Get(keyCA)); mark != "" && mark != own {
			return fmt.Errorf("%s is of the CA with the SHA-256 %s, and %s is another one", s.path(fileDatabase), mark, s.path(fileCA))
		}
		return b.Put(keyCA, []byte(own))
	})
}
