package manager

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/device"
)

// The files of the data directory that the command line reads as well.
const (
	fileCA         = "ca.pem"
	fileCAKey      = "ca.key"
	fileDatabase   = "manager.db"
	fileCRL        = "crl.pem"
	fileAdminToken = "admin.token"
	fileURL        = "url"
)

func (s *Server) path(name string) string { return filepath.Join(s.opt.Dir, name) }

// prepareDir makes the data directory, and refuses one in which everyone may
// replace the CA's key.
func (s *Server) prepareDir() error {
	if err := s.fs.MkdirAll(s.opt.Dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	info, err := s.fs.Stat(s.opt.Dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("data directory %s is writable by everyone: run chmod o-w on it", s.opt.Dir)
	}
	return nil
}

// openAdminToken reads the administrator's password, or makes it.
func (s *Server) openAdminToken() (string, error) {
	path := s.path(fileAdminToken)
	token, err := readToken(s.fs, path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	if token, err = randomText(s.opt.Rand, 43); err != nil {
		return "", err
	}
	return token, s.writeFile(path, []byte(token+"\n"), 0o600)
}

func readToken(f afero.Afero, path string) (string, error) {
	raw, err := secretFile(f, path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < 16 {
		return "", fmt.Errorf("%s holds no token of 16 characters or more", path)
	}
	return token, nil
}

func (s *Server) writeFile(path string, data []byte, mode os.FileMode) error {
	return writeFile(s.fs, path, data, mode)
}

// writeFile replaces a file at once: readers see the old one or the new one.
// A device or a pipe, such as /dev/null, is written to and never replaced.
func writeFile(f afero.Afero, path string, data []byte, mode os.FileMode) (err error) {
	out, err := device.Open(f, path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if out != nil {
		_, err = out.Write(data)
		return errors.Join(err, out.Close())
	}
	tmp, err := f.TempFile(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Remove(tmp.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err != nil {
		return err
	}
	if err = f.Chmod(tmp.Name(), mode); err != nil {
		return err
	}
	if err = f.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := f.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
