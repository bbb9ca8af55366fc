package hostfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// ErrJournalDamaged says that a journal is there and is none. It is written by
// an atomic rename, so this is disk damage or another's hand, never a kill.
var ErrJournalDamaged = errors.New("the journal is damaged")

const journalVersion = 1

// Journal records the steps of one commit, in their order.
type Journal struct {
	Version int    `json:"version"`
	Steps   []step `json:"steps"`
	// Prune lists older backups that go once the commit stands.
	Prune []string `json:"prune,omitempty"`

	path string
	host *Host
}

type action string

const (
	doBackup action = "backup"
	doWrite  action = "write"
	doRemove action = "remove"
)

// step is one rename or one removal. The hashes tell, after a kill, whether it
// was done, and whether anyone else has been at the file since.
type step struct {
	Action action `json:"action"`
	Path   string `json:"path"`
	// Temp is the name, in Path's directory, of the staged file.
	Temp string `json:"temp,omitempty"`
	// Before and After are the SHA-256 of the content at Path, empty for none.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

func (s step) temp() string {
	if s.Temp == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(s.Path), s.Temp)
}

// needs tells whether temp is the staged file of a step.
func (j *Journal) needs(temp string) bool {
	return j != nil && slices.ContainsFunc(j.Steps, func(s step) bool { return s.temp() == temp })
}

// dirs returns the directories of all steps, each once.
func (j *Journal) dirs() []string {
	var dirs []string
	for _, s := range j.Steps {
		if dir := filepath.Dir(s.Path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// LoadJournal reads the journal that a killed commit left at path; nil where
// there is none. One that can't be read as a journal is ErrJournalDamaged.
func (h *Host) LoadJournal(path string) (*Journal, error) {
	file, err := h.Read(path)
	if err != nil || !file.Exists {
		return nil, err
	}
	if !h.ours(file.UID) || file.Mode&0o022 != 0 {
		return nil, refuse("find out who wrote it; remove it if it is not yours",
			"%s belongs to user %d and has mode %04o: its steps can't be trusted", path, file.UID, file.Mode)
	}
	j, err := decodeJournal(file.Content)
	if err != nil {
		return nil, failed(fmt.Errorf("%s: %w: %w", path, ErrJournalDamaged, err))
	}
	j.path, j.host = path, h
	return j, nil
}

func (j *Journal) encode() ([]byte, error) {
	content, err := json.MarshalIndent(j, "", "  ")
	return append(content, '\n'), err
}

func decodeJournal(content []byte) (*Journal, error) {
	var j Journal
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the end")
	}
	if j.Version != journalVersion {
		return nil, fmt.Errorf("version %d is not known", j.Version)
	}
	for _, s := range j.Steps {
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("step for %q: %w", s.Path, err)
		}
	}
	for _, path := range j.Prune {
		if !slices.ContainsFunc(j.Steps, func(s step) bool { return isBackup(s.Path, path) }) {
			return nil, fmt.Errorf("%q is no backup of a file of this commit", path)
		}
	}
	return &j, nil
}

// isHash tells whether s is a SHA-256, or empty for no content.
func isHash(s string) bool { return s == "" || len(s) == 64 && consistsOf(s, hexDigits) }

// validate lets a step touch its path and its own temp file, nothing else.
func (s step) validate() error {
	if _, err := within(s.Path); err != nil || filepath.Clean(s.Path) != s.Path || s.Path == "/" {
		return errNotClean
	}
	if !isHash(s.Before) || !isHash(s.After) {
		return errors.New("not a SHA-256")
	}
	switch s.Action {
	case doWrite, doBackup:
		if !isTempName(s.Temp) || s.After == "" {
			return errors.New("no temp file of ours, or no hash")
		}
	case doRemove:
		if s.Temp != "" || s.After != "" {
			return errors.New("a removal has neither temp file nor hash")
		}
	default:
		return fmt.Errorf("action %q is not known", s.Action)
	}
	return nil
}

// save makes the journal durable. From here on, a kill is Finish's to fix.
func (j *Journal) save() error {
	content, err := j.encode()
	if err != nil {
		return err
	}
	return j.host.Replace(j.path, content, Attributes{Mode: 0o600, UID: Keep, GID: Keep})
}

// drop ends the commit.
func (j *Journal) drop() error {
	err := insist(func() error { return j.host.removeIfThere(j.path) })
	if err != nil {
		return err
	}
	return j.host.syncDir(filepath.Dir(j.path))
}

// insist tries again at once what a passing error refused: between the first
// rename and the last, giving up is the worse choice.
func insist(f func() error) (err error) {
	for range 3 {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}
