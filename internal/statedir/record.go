package statedir

import (
	"encoding/json"

	"github.com/linux-patch/enroll/internal/contract"
)

// decodeRecord reads one of the records. Its errors quote no content: the
// record may hold the token.
func decodeRecord(path string, raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "%s is damaged: it is not the JSON that this program wrote", path).
			WithHint("move %s away and run again; if a request is pending on the manager, an administrator denies it first", path)
	}
	return nil
}

func encodeRecord(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, contract.Errorf(contract.CodeInternal, "a record cannot be encoded: %w", err)
	}
	return raw, nil
}
