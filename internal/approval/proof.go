package approval

import (
	"crypto/sha256"
	"encoding/hex"
)

// Proof is what a host's request shows of a nonce that the host alone knows.
func Proof(machineID string, nonce []byte) string {
	h := sha256.New()
	h.Write([]byte("linux_patch enrollment v1\n" + machineID + "\n"))
	h.Write(nonce)
	return "v1:" + hex.EncodeToString(h.Sum(nil))
}

// TokenSHA256 is the form in which a manager lists a polling token.
func TokenSHA256(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
