package enroll_test

import (
	"context"
	"slices"
	"testing"

	"github.com/linux-patch/enroll/internal/options"
)

// TestSecretsAreNamedAsSoonAsTheyAreKnown: what shows results and logs can
// blank out only what it was told of.
func TestSecretsAreNamedAsSoonAsTheyAreKnown(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	var told []string
	e := r.enroller(nil)
	e.Secret = func(s string) { told = append(told, s) }
	p := options.DefaultParams()
	p.ManagerURL, p.Wait = "https://manager.example.com", false
	p.ProxyURL, p.ManagerIP = "http://user:PASSW0RD@proxy.example.com:3128", "192.0.2.9"
	if res := e.Run(context.Background(), p); res.Failed {
		t.Fatal(res.Msg)
	}
	for _, secret := range []string{r.manager.token, "PASSW0RD"} {
		if secret == "" || !slices.Contains(told, secret) {
			t.Errorf("%q was not named", secret)
		}
	}
}
