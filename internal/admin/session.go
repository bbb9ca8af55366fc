package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// lockedFile is a small private file that one process at a time uses.
type lockedFile struct{ f *os.File }

// openLocked opens or makes a file of mode 0600 that belongs to who runs this
// and to no one else, and waits for its lock until ctx ends.
func openLocked(ctx context.Context, path string) (*lockedFile, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, contract.Errorf(contract.CodeFilesystem, "session file: %w", err)
		}
		l := &lockedFile{f}
		if err := l.check(path); err != nil {
			l.close()
			return nil, err
		}
		if err := l.lock(ctx); err != nil {
			l.close()
			return nil, contract.Errorf(contract.CodeLocked, "%s is in use by another run: %w", path, err)
		}
		// It may have been removed while this process waited.
		if now, err := os.Lstat(path); err == nil && l.is(now) {
			return l, nil
		}
		l.close()
	}
}

func (l *lockedFile) is(other fs.FileInfo) bool {
	info, err := l.f.Stat()
	return err == nil && os.SameFile(info, other)
}

func (l *lockedFile) check(path string) error {
	info, err := l.f.Stat()
	if err != nil {
		return contract.Errorf(contract.CodeFilesystem, "session file: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return contract.Errorf(contract.CodeFilesystem, "%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return contract.Errorf(contract.CodeFilesystem, "%s may be used by others (mode %04o); remove it", path, info.Mode().Perm())
	case ok && int(st.Uid) != os.Geteuid():
		return contract.Errorf(contract.CodeFilesystem, "%s belongs to user %d; remove it", path, st.Uid)
	case ok && st.Nlink != 1:
		return contract.Errorf(contract.CodeFilesystem, "%s has another name too; remove it", path)
	}
	return nil
}

func (l *lockedFile) lock(ctx context.Context) error {
	for {
		err := unix.Flock(int(l.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if err := managerclient.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (l *lockedFile) read() ([]byte, error) {
	if _, err := l.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(l.f, 64<<10))
}

func (l *lockedFile) write(content []byte) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	if _, err := l.f.WriteAt(content, 0); err != nil {
		return err
	}
	return l.f.Sync()
}

func (l *lockedFile) close() { _ = l.f.Close() }

func (l *lockedFile) remove() {
	_ = os.Remove(l.f.Name())
	l.close()
}

// savedSession is the content of a session file.
type savedSession struct {
	ManagerURL   string    `json:"manager_url"`
	Username     string    `json:"username"`
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token"`
	Expires      time.Time `json:"expires"`
	// Refused is what the manager said to the login with the credentials of By,
	// which is not to be tried again until Expires.
	Refused string `json:"refused,omitempty"`
	By      string `json:"by,omitempty"`
}

func (s savedSession) encode() []byte {
	raw, _ := json.Marshal(s) //nolint:gosec // the session file is the one place of the tokens: 0600, gone with the run
	return raw
}

// totpStep is the time step of RFC 6238 as managers use it.
const totpStep = 30

// totpCode returns the code of a time step that no other login of this account
// has used from here: a code serves once. It waits for the next step if it must.
func (r *run) totpCode(ctx context.Context) (string, error) {
	if r.c.TOTPSecret == "" {
		return r.c.TOTPCode, nil
	}
	l, err := openLocked(ctx, filepath.Join(r.lockDir(), r.stepFile()))
	if err != nil {
		return "", err
	}
	defer l.close()
	raw, err := l.read()
	if err != nil {
		return "", contract.Errorf(contract.CodeFilesystem, "%s: %w", l.f.Name(), err)
	}
	used, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	step := r.env.Now().Unix() / totpStep
	// A step far ahead is of a clock that was set back since.
	if used >= step && used <= step+2 {
		step = used + 1
		if err := managerclient.Sleep(ctx, time.Unix(step*totpStep, 0).Sub(r.env.Now())); err != nil {
			return "", contract.Errorf(contract.CodeInterrupted, "interrupted while waiting for the next TOTP code: %w", err)
		}
	}
	if err := l.write([]byte(strconv.FormatInt(step, 10) + "\n")); err != nil {
		return "", contract.Errorf(contract.CodeFilesystem, "%s: %w", l.f.Name(), err)
	}
	secret := strings.ToUpper(strings.ReplaceAll(r.c.TOTPSecret, " ", ""))
	code, err := totp.GenerateCodeCustom(secret, time.Unix(step*totpStep, 0), totp.ValidateOpts{
		Period: totpStep, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return "", contract.Errorf(contract.CodeInvalidArgument, "totp_secret is not base32")
	}
	return code, nil
}

// stepFile names the account without telling it.
func (r *run) stepFile() string {
	sum := sha256.Sum256([]byte(r.url.String() + "\n" + r.c.Username))
	return "linux_patch_totp_" + hex.EncodeToString(sum[:8])
}

// lockDir is a directory of who runs this.
func (r *run) lockDir() string {
	if r.c.LockDir != "" {
		return r.c.LockDir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return os.TempDir()
	}
	dir = filepath.Join(dir, "linux_patch")
	_ = os.MkdirAll(dir, 0o700) // openLocked says what is wrong with it
	return dir
}
