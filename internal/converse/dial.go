package converse

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/pki"
)

// Client makes the client for the manager.
func (c *Conversation) Client() (ManagerClient, error) {
	o := managerclient.Options{
		URL: c.URL, Insecure: c.Insecure, ProxyURL: c.ProxyURL, UserAgent: c.Program, Now: c.Now,
		Seen: func(sha256 string) { c.certificate.Store(sha256) },
		Warn: func(warning string) { c.Result.Warn(warning) },
		Retry: managerclient.Retry{
			Wait429: c.Wait && c.State == string(contract.StateEnrolled),
			Until:   c.Deadline,
			Jitter:  func(d time.Duration) time.Duration { return pace.Spread(d, c.Rand()) },
		},
		IPv6: c.reportsIPv6(), CASource: c.caSource(),
	}
	if proxy, err := url.Parse(c.ProxyURL); err == nil && proxy.User != nil {
		if password, set := proxy.User.Password(); set {
			c.Secret(password)
		}
	}
	var err error
	if c.ManagerCAFingerprint != "" {
		if o.Fingerprint, err = pki.NormalizeFingerprint(c.ManagerCAFingerprint); err != nil {
			return nil, err
		}
	}
	if o.CAPEM, err = c.managerCA(); err != nil {
		return nil, err
	}
	return c.Dial(o)
}

// reportsIPv6 reports whether the manager is told an IPv6 address of this host:
// the address of the manager that is let in is then one of that family too.
func (c *Conversation) reportsIPv6() bool {
	told := c.ReportIP
	if t := c.LiveToken(); told == "" && t != nil && t.Request != nil {
		told = t.Request.IPAddress
	}
	ip, err := netip.ParseAddr(told)
	return err == nil && ip.Unmap().Is6()
}

// caSource names the option that trust in the manager's HTTPS comes from.
func (c *Conversation) caSource() string {
	switch {
	case c.ManagerCAPEM != "":
		return "manager_ca_pem"
	case c.ManagerCAPath != "":
		return fmt.Sprintf("manager_ca_path %s (of the agent --enroll-ca)", c.ManagerCAPath)
	}
	return ""
}

// managerCA is the trust for the manager's HTTPS; nil are the system's roots.
func (c *Conversation) managerCA() ([]byte, error) {
	if c.ManagerCAPEM != "" {
		return []byte(c.ManagerCAPEM), nil
	}
	if c.ManagerCAPath == "" {
		return nil, nil
	}
	pem, err := c.ReadGiven("manager_ca_path (of the agent --enroll-ca)", string(c.ManagerCAPath), maxCAFile)
	if err != nil {
		return nil, err.WithHint("put the manager's CA there, or give it as manager_ca_pem or manager_ca_fingerprint; a file that names trust never means none")
	}
	return pem, nil
}

// maxCAFile holds the CA bundle of any system.
const maxCAFile = 4 << 20

// ReadGiven reads a file that an option names and that this program only reads.
// It is a file with something in it: nothing else is what was meant.
func (c *Conversation) ReadGiven(option, path string, most int64) ([]byte, *contract.Error) {
	refuse := func(err error) *contract.Error {
		return contract.Errorf(contract.CodeInvalidArgument, "%s: %w", option, err)
	}
	info, err := c.Given.Stat(path)
	if err != nil {
		return nil, refuse(err)
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, refuse(fmt.Errorf("%s is not a file of at most %d bytes", path, most))
	}
	raw, _, err := hostfs.ReadGiven(c.Given, path, most)
	if err == nil && len(bytes.TrimSpace(raw)) == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	if err != nil {
		return nil, refuse(err)
	}
	return raw, nil
}
