package admin

import (
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki"
)

// Environment is what a run has around it.
type Environment struct {
	Now    func() time.Time
	Getenv func(string) string
	// Record writes one line to the audit log at path.
	Record func(path string, event contract.Event, fields map[string]string) error
	// Program is the name and version that managers and the audit log see.
	Program string
}

// run is one command with its connection.
type run struct {
	env     Environment
	c       *Connection
	check   bool
	url     *url.URL
	api     *managerclient.Admin
	session *lockedFile
	secrets *secrets
	report  *Report
	// certificate is the SHA-256 of what the manager presented to this
	// controller, a string; a dial that was given up may still tell it.
	certificate atomic.Value
	// refused says that the session file tells the run's other commands why none of
	// them is to try.
	refused bool
}

// open connects, and logs in unless a session or a token is there already.
func (r *run) open(ctx context.Context) error {
	if err := r.dial(); err != nil {
		return err
	}
	if r.c.AccessToken != "" {
		r.api.Session = managerclient.Session{AccessToken: r.c.AccessToken}
		return nil
	}
	if resumed, err := r.resume(ctx); err != nil || resumed {
		return err
	}
	return r.login(ctx)
}

func (r *run) dial() error {
	u, err := managerclient.ParseURL(r.c.ManagerURL)
	if err != nil {
		return err
	}
	r.url = u
	o := managerclient.Options{
		URL: u, ProxyURL: r.c.ProxyURL, UserAgent: r.env.Program, Now: r.env.Now, KeepAlive: true,
		Timeout: 2 * time.Minute,
		Seen:    func(sha256 string) { r.certificate.Store(sha256) },
		Warn:    r.report.warn, CASource: r.c.ManagerCAPath,
	}
	if o.CAPEM, err = r.managerCA(); err != nil {
		return err
	}
	if r.c.ManagerCAFingerprint != "" {
		if o.Fingerprint, err = pki.NormalizeFingerprint(r.c.ManagerCAFingerprint); err != nil {
			return contract.Errorf(contract.CodeInvalidArgument, "manager_ca_fingerprint: %w", err)
		}
	}
	client, err := managerclient.New(o)
	if err != nil {
		return err
	}
	r.api = managerclient.NewAdmin(client)
	r.api.Renewed = r.keep
	return nil
}

// presented is the certificate that the manager presented to this controller.
func (r *run) presented() string {
	sha256, _ := r.certificate.Load().(string)
	return sha256
}

func (r *run) managerCA() ([]byte, error) {
	if r.c.ManagerCAPEM != "" {
		return []byte(r.c.ManagerCAPEM), nil
	}
	if r.c.ManagerCAPath == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(r.c.ManagerCAPath)
	if err == nil && len(pem) == 0 {
		err = fmt.Errorf("%s is empty", r.c.ManagerCAPath)
	}
	if err != nil {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "manager_ca_path: %w", err)
	}
	return pem, nil
}

// resume goes on with the login that an earlier command of this run made.
func (r *run) resume(ctx context.Context) (bool, error) {
	if r.c.SessionPath == "" {
		return false, nil
	}
	var err error
	if r.session, err = openLocked(ctx, r.c.SessionPath); err != nil {
		return false, err
	}
	raw, err := r.session.read()
	if err != nil {
		return false, contract.Errorf(contract.CodeFilesystem, "%s: %w", r.c.SessionPath, err)
	}
	var s savedSession
	if json.Unmarshal(raw, &s) != nil {
		return false, nil //nolint:nilerr // a file that a killed run cut off holds no session
	}
	if s.AccessToken != "" && (s.ManagerURL != r.url.String() || r.c.Username != "" && s.Username != r.c.Username) {
		return false, contract.Errorf(contract.CodeInvalidArgument, "%s is the session of another account or manager", r.c.SessionPath).
			WithHint("give each account a session_path of its own")
	}
	r.secrets.add(s.AccessToken, s.RefreshToken)
	r.api.Session = managerclient.Session{AccessToken: s.AccessToken, RefreshToken: s.RefreshToken, Expires: s.Expires, Account: s.Username}
	return s.AccessToken != "", r.ended(s)
}

// login logs in, once.
func (r *run) login(ctx context.Context) error {
	if r.c.Username == "" || r.c.Password == "" {
		return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: username and password, or access_token").
			WithHint("set them, or %sUSERNAME and %sPASSWORD in the environment", envPrefix, envPrefix)
	}
	code, err := r.totpCode(ctx)
	if err != nil {
		return err
	}
	err = r.api.Login(ctx, managerclient.Credentials{Username: r.c.Username, Password: r.c.Password, TOTPCode: code})
	if err != nil {
		return err
	}
	r.audit(contract.EventAdminLogin, map[string]string{})
	return nil
}

// credentials tells these from others: too little, and too slow to make, for
// passwords to be tried on it.
func (r *run) credentials() string {
	secrets, account := strings.Join([]string{r.c.Password, r.c.TOTPSecret, r.c.TOTPCode}, "\n"), r.url.String()+"\n"+r.c.Username
	sum, err := pbkdf2.Key(sha256.New, secrets, []byte(account), 600_000, sha256.Size)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(sum[:2])
}

// keep stores a new session before it is used.
func (r *run) keep(s managerclient.Session) error {
	r.secrets.add(s.AccessToken, s.RefreshToken)
	if r.session == nil {
		return nil
	}
	if err := r.session.write(r.saved(s).encode()); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "%s: %w", r.c.SessionPath, err)
	}
	return nil
}

// account is for display alone: a token does not say whose it is.
func (r *run) account(s managerclient.Session) string {
	return approval.Plain(cmp.Or(r.c.Username, s.Account, "access token"))
}

// leave notes what later commands of the run are to know of a failure, and closes.
// one says that it concerns one host alone, marked that they are of a playbook.
func (r *run) leave(ctx context.Context, err error, one, marked bool) {
	kept, down, login := r.c.KeepSession, contract.CodeOf(err) == contract.CodeUnreachable, contract.CodeOf(err) == contract.CodeLogin
	if r.session != nil && !r.refused && ctx.Err() == nil && (kept && (down || login) || marked && login && r.api.Session.AccessToken == "") {
		r.giveUp(err)
	}
	// A run that cannot go on for all its hosts may have no later command.
	r.c.KeepSession = kept && (err == nil || ctx.Err() == nil && (down || one && !login))
	r.close(ctx)
}

// close logs out, unless the login is kept for the next command of this run or
// is someone else's.
func (r *run) close(ctx context.Context) {
	if _, err := os.Lstat(r.c.SessionPath); err == nil && r.api == nil && !r.c.KeepSession {
		_ = r.logout(ctx) // an earlier command has left it; what cannot be resumed is removed
	}
	if r.api != nil && r.c.AccessToken == "" && (r.session == nil || !r.c.KeepSession) {
		// A run that was interrupted logs out too.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := r.api.Logout(ending); err != nil {
			r.report.warn(fmt.Sprintf("logging out failed, the login ends by itself within an hour: %v", err))
		}
	}
	if r.api != nil {
		r.report.Requests["total"] = r.api.Requests
	}
	switch {
	case r.session == nil:
	case r.refused || r.c.KeepSession && r.api.Session.AccessToken != "":
		r.session.close()
	default:
		r.session.remove()
	}
}

// audit notes what was done on this controller and in the report.
func (r *run) audit(event contract.Event, fields map[string]string) {
	if r.url != nil {
		fields["manager"] = r.url.String()
	}
	fields["account"] = r.account(r.api.Session)
	line := map[string]string{"event": string(event), "time": r.env.Now().UTC().Format(time.RFC3339)}
	for name, value := range fields {
		if value != "" {
			line[name] = value
		}
	}
	r.report.Audit = append(r.report.Audit, line)
	if r.c.AuditPath == "" {
		return
	}
	if err := r.env.Record(r.c.AuditPath, event, fields); err != nil {
		r.report.warn(fmt.Sprintf("the audit log was not written: %v", err))
	}
}
