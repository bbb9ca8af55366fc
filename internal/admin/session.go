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

// savedSession is the content of a session file: the tokens, and of the
// connection what it takes to log out.
type savedSession struct {
	Connection
	RefreshToken string    `json:"refresh_token"`
	Expires      time.Time `json:"expires"`
	// Refused is why nothing is to be tried until Until: the manager does not
	// answer, or has refused the credentials of By or ended their login.
	Refused string        `json:"refused,omitempty"`
	Code    contract.Code `json:"code,omitempty"`
	By      string        `json:"by,omitempty"`
	Until   time.Time     `json:"until,omitzero"`
}

func (r *run) saved(s managerclient.Session) savedSession {
	c := r.c
	return savedSession{RefreshToken: s.RefreshToken, Expires: s.Expires, Connection: Connection{
		ManagerURL: r.url.String(), ManagerCAPath: c.ManagerCAPath, ManagerCAPEM: c.ManagerCAPEM, ManagerCAFingerprint: c.ManagerCAFingerprint,
		ProxyURL: c.ProxyURL, Username: r.account(s), AccessToken: s.AccessToken,
	}}
}

// giveUp tells the later commands of this run why each of them would fail too. A
// login is for a whole run: one that an administrator has ended, or whose refresh
// token someone else has used, is not made again before a person has looked.
func (r *run) giveUp(err error) {
	s := r.saved(r.api.Session)
	s.Refused, s.Code, s.Until = err.Error(), contract.CodeOf(err), r.env.Now().Add(time.Minute)
	if s.Code == contract.CodeLogin {
		s.AccessToken, s.RefreshToken, s.By, s.Until = "", "", r.credentials(), r.env.Now().Add(time.Hour)
	}
	r.refused = r.session.write(s.encode()) == nil
}

// ended is why this command is not to try, as an earlier one of this run has noted.
func (r *run) ended(s savedSession) error {
	r.refused = r.env.Now().Before(s.Until) && (s.Code != contract.CodeLogin || s.By == r.credentials())
	switch {
	case !r.refused:
		return nil
	case s.Code == contract.CodeLogin:
		return contract.Errorf(s.Code, "%s; the login is not tried again in this run", s.Refused).
			WithHint("look at the account, and run again; five wrong passwords lock it")
	}
	return contract.Errorf(s.Code, "%s; it is not tried again for a minute", s.Refused)
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
