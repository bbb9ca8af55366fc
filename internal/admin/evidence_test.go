package admin

import (
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/managerclient"
)

// A hash is the same in any case: a manager that writes it in capitals hides none.
func TestHashesHaveNoCase(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	if got := rowOf(managerclient.ListedRequest{TokenSHA256: strings.ToUpper(hash)}).TokenSHA256; got != hash {
		t.Errorf("got the row's hash %s, want %s", got, hash)
	}
	if got := evidenceOf([]byte(`{"request":{"token_sha256":"` + strings.ToUpper(hash) + `"}}`)).TokenSHA256; got != hash {
		t.Errorf("got the host's hash %s, want %s", got, hash)
	}
}
