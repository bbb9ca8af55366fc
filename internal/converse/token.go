package converse

import (
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/statedir"
)

// TakeOver makes a token that only config.yaml holds the token of this host.
func (c *Conversation) TakeOver() (*statedir.Token, error) {
	t := statedir.Token{Token: c.Disk.ConfigToken, ManagerURL: c.URL.String(), MachineID: c.Result.MachineID, FQDN: c.Result.FQDN, Since: c.Now().UTC(), TakenOver: true}
	if err := c.Disk.SaveToken(t); err != nil {
		return nil, err
	}
	c.Result.Act("take over the polling token from " + string(c.ConfigPath))
	c.Result.Changed = true
	return c.Disk.Token(), nil
}

// WarnNoTokens names what stands in a token's place and cannot be one, before
// this host registers in spite of it.
func (c *Conversation) WarnNoTokens() {
	if t := c.Disk.ConfigToken; t != "" && !observe.IsToken(t) {
		c.Result.Warn(fmt.Sprintf("enrollment.polling_token in %s is no polling token and is not used; remove that line", c.ConfigPath))
	}
	if t := c.Disk.Token(); t != nil && !managerclient.ValidToken(t.Token) {
		c.Result.Warn(fmt.Sprintf("what %s holds is no polling token; a new request replaces it", c.StatePaths().Token))
	}
}

// Doubtful is the dead token that this manager may honour all the same, as it
// is while it lives; nil where there is none.
func (c *Conversation) Doubtful() *statedir.Token {
	old := c.Disk.Token()
	if old == nil || old.Dead == "" || old.Final || old.ManagerURL != c.URL.String() {
		return nil
	}
	alive := *old
	alive.Dead = ""
	return &alive
}

// revive makes a token that seemed to be dead this host's again. The mark of a
// later registration goes: the manager kept the request before it.
func (c *Conversation) revive(t *statedir.Token) error {
	c.forgetRequest()
	c.Result.Changed = true
	c.Result.Act(fmt.Sprintf("go on with the request of %s, which seemed to be over", t.Since.Format(time.RFC3339)))
	return c.Disk.SaveToken(*t)
}

// forgetRequest removes the mark of a registration that reached no one.
func (c *Conversation) forgetRequest() {
	if err := c.Disk.ForgetRequest(); err != nil {
		c.Result.Warn(fmt.Sprintf("%s was left behind: %v", c.StatePaths().Request, err))
	}
}
