package aptrepo

import (
	"crypto/sha1" //nolint:gosec // a version 4 fingerprint is one (RFC 4880, 12.2)
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// NormalizeFingerprint takes the fingerprint of an OpenPGP key as gpg prints it,
// and returns 40 lower-case hexadecimal digits.
func NormalizeFingerprint(s string) (string, error) {
	f := strings.ToLower(strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ':' }), ""))
	f = strings.TrimPrefix(f, "0x")
	if raw, err := hex.DecodeString(f); err != nil || len(raw) != sha1.Size {
		return "", errors.New("not the fingerprint of an OpenPGP key of version 4: 40 hexadecimal digits are needed")
	}
	return f, nil
}

const (
	armorBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	armorEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
	maxKey     = 256 << 10
)

var errArmor = errors.New("it is not one armored OpenPGP public key")

// Key reads an armored public key, and returns it in binary form if it is that
// of the fingerprint. It holds one primary key: who signs may be no one else.
func Key(armored, fingerprint string) ([]byte, error) {
	raw, err := dearmor(armored)
	if err != nil {
		return nil, err
	}
	got, err := fingerprintOf(raw)
	if err != nil {
		return nil, err
	}
	if got != fingerprint {
		return nil, fmt.Errorf("its fingerprint is %s, not %s", strings.ToUpper(got), strings.ToUpper(fingerprint))
	}
	return raw, nil
}

func dearmor(text string) ([]byte, error) {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	text, begun := strings.CutPrefix(text, armorBegin+"\n")
	text, ended := strings.CutSuffix(text, "\n"+armorEnd)
	if !begun || !ended || len(text) > maxKey || strings.Contains(text, "-----") {
		return nil, errArmor
	}
	// Headers such as Comment end at an empty line.
	_, body, ok := strings.Cut("\n"+text, "\n\n")
	if !ok {
		return nil, errArmor
	}
	var digits strings.Builder
	for line := range strings.SplitSeq(body, "\n") {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "=") { // the checksum
			digits.WriteString(line)
		}
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(digits.String())
	if err != nil {
		return nil, errArmor
	}
	return raw, nil
}

// The packets of a public key (RFC 4880, 4.3).
const (
	tagSignature    = 2
	tagKey          = 6
	tagUser         = 13
	tagSubkey       = 14
	tagUserPicture  = 17
	version4        = 4
	fingerprintMark = 0x99
)

var errPackets = errors.New("its packets are malformed, or not those of one public key")

func fingerprintOf(raw []byte) (string, error) {
	fingerprint := ""
	for rest := raw; len(rest) > 0; {
		tag, body, after, err := packet(rest)
		if err != nil {
			return "", err
		}
		switch {
		case tag == tagKey && fingerprint == "":
			if len(body) < 6 || len(body) > 0xffff || body[0] != version4 {
				return "", errors.New("it is not a key of version 4")
			}
			sum := sha1.Sum(append([]byte{fingerprintMark, byte(len(body) >> 8), byte(len(body))}, body...)) //nolint:gosec // what a fingerprint is
			fingerprint = hex.EncodeToString(sum[:])
		case fingerprint != "" && (tag == tagSignature || tag == tagUser || tag == tagSubkey || tag == tagUserPicture):
		default:
			return "", errPackets
		}
		rest = after
	}
	if fingerprint == "" {
		return "", errPackets
	}
	return fingerprint, nil
}

// packet reads one packet of a known length.
func packet(raw []byte) (tag byte, body, rest []byte, err error) {
	head := raw[0]
	raw = raw[1:]
	switch {
	case head&0x80 == 0:
		return 0, nil, nil, errPackets
	case head&0x40 != 0:
		tag = head & 0x3f
	default:
		tag = head >> 2 & 0x0f
	}
	n, size := length(head, raw)
	if n < 0 || n > len(raw)-size {
		return 0, nil, nil, errPackets
	}
	return tag, raw[size : size+n], raw[size+n:], nil
}

// length is that of a packet's body and how many bytes say so; -1 where it is
// not said at once.
func length(head byte, raw []byte) (n, size int) {
	number := func(skip, size int) (int, int) {
		if len(raw) < skip+size {
			return -1, 0
		}
		var wide [8]byte
		copy(wide[8-size:], raw[skip:skip+size])
		return int(min(binary.BigEndian.Uint64(wide[:]), maxKey+1)), skip + size
	}
	if head&0x40 == 0 {
		if head&3 == 3 {
			return -1, 0
		}
		return number(0, 1<<(head&3))
	}
	if len(raw) == 0 {
		return -1, 0
	}
	switch first := raw[0]; {
	case first < 192:
		return int(first), 1
	case first < 224 && len(raw) > 1:
		return int(first-192)<<8 + int(raw[1]) + 192, 2
	case first == 255:
		return number(1, 4)
	}
	return -1, 0
}

// IsKeyring reports whether content begins as a binary keyring does.
func IsKeyring(content []byte) bool { return len(content) > 0 && content[0]&0x80 != 0 }

// Describe says what a keyring is, for a diff.
func Describe(raw []byte) string {
	fingerprint, err := fingerprintOf(raw)
	if err != nil {
		return "a file that is not one OpenPGP public key\n"
	}
	return "OpenPGP public key " + strings.ToUpper(fingerprint) + "\n"
}
