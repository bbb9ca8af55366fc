package managerclient

import (
	"context"
	"net/http"

	"github.com/linux-patch/enroll/internal/contract"
)

// FetchCRL fetches the manager's revocation list, which is public. What came is
// for the caller to judge: it is no more than something that answered with 200.
func (c *Client) FetchCRL(ctx context.Context) ([]byte, error) {
	f := &flight{client: c, method: http.MethodGet, limit: MaxBody}
	a, err := f.send(ctx, contract.CRLPath)
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusOK:
		return nil, f.fail(contract.Errorf(contract.CodeManagerError, "%s%s answers HTTP %d", c.base, contract.CRLPath, a.status))
	}
	return a.body, nil
}
