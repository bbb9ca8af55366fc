package managerclient

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

const (
	// maxCRL is the size of a list of revoked certificates that is kept, so that
	// the rest of an answer always has room.
	maxCRL = MaxBody - 2<<20
	// maxRead is where reading ends: what a list that is skipped may have.
	maxRead = 4 * MaxBody
	// maxCodings is how many encodings may lie over each other.
	maxCodings = 4
)

// content is the body of an answer as it is kept.
type content struct {
	body []byte
	// encoding is what the body is still encoded as.
	encoding   string
	crlSkipped bool
}

var errEncoding = errors.New("an encoding that this program does not know")

// readContent reads a body and decodes it. What can't be decoded is returned
// raw: an approved bundle is handed out once, and someone may still decode it.
// With an error comes what had arrived.
// limit is that of the decoded body; one byte more may be returned.
func readContent(h http.Header, body io.Reader, limit int) (content, error) {
	encoding := encodingOf(h)
	if encoding == "" {
		return readPlain(body, limit)
	}
	var raw bytes.Buffer
	arriving := io.TeeReader(io.LimitReader(body, MaxBody+1), &raw)
	c, err := readDecoded(encoding, arriving, limit)
	if err == nil && len(c.body) <= limit {
		return c, nil
	}
	if _, err := io.Copy(io.Discard, arriving); err != nil {
		return c, err
	}
	return undecodable(raw.Bytes(), encoding, limit), nil
}

// undecodable is a raw body, which may be plain in spite of what was said of it.
func undecodable(raw []byte, encoding string, limit int) content {
	if len(raw) == 0 || looksLikeObject(raw) {
		if c, err := readPlain(bytes.NewReader(raw), limit); err == nil {
			return c
		}
	}
	return content{body: raw[:min(len(raw), limit+1)], encoding: encoding}
}

// readPlain reads a body that is not encoded, or encoded without saying so.
func readPlain(body io.Reader, limit int) (content, error) {
	k := keeper{limit: limit, crlLimit: maxCRL}
	if _, err := io.Copy(&k, io.LimitReader(body, maxRead)); err != nil && !errors.Is(err, errFull) {
		return content{body: k.kept, crlSkipped: k.skipped}, err
	}
	c := content{body: k.kept, crlSkipped: k.skipped}
	if !bytes.HasPrefix(c.body, []byte{0x1f, 0x8b}) {
		return c, nil
	}
	if decoded, err := readDecoded("gzip", bytes.NewReader(c.body), limit); err == nil && len(decoded.body) <= limit {
		return decoded, nil
	}
	c.encoding = "gzip"
	return c, nil
}

func readDecoded(encoding string, body io.Reader, limit int) (content, error) {
	body, err := decodeAll(encoding, body)
	if err != nil {
		return content{}, err
	}
	k := keeper{limit: limit, crlLimit: maxCRL}
	_, err = io.Copy(&k, io.LimitReader(body, maxRead))
	return content{body: k.kept, crlSkipped: k.skipped}, err
}

func decodeAll(encoding string, body io.Reader) (io.Reader, error) {
	// Encodings are listed in the order in which they were applied (RFC 9110, 8.4).
	codings := strings.Split(encoding, ", ")
	if len(codings) > maxCodings {
		return nil, errEncoding
	}
	for _, coding := range slices.Backward(codings) {
		var err error
		if body, err = decoder(coding, body); err != nil {
			return nil, err
		}
	}
	return body, nil
}

func decoder(coding string, body io.Reader) (io.Reader, error) {
	switch coding {
	case "gzip", "x-gzip":
		return gzip.NewReader(body)
	case "deflate":
		return inflate(body)
	}
	return nil, errEncoding
}

// inflate reads zlib's format, as the name means (RFC 9110, 8.4.1.2), and the
// bare one, as some senders do.
func inflate(body io.Reader) (io.Reader, error) {
	var head [2]byte
	n, err := io.ReadFull(body, head[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), body)
	if n == 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(whole)
	}
	return flate.NewReader(whole), nil
}

// encodingOf is what an answer is said to be encoded as: lower-case names, the
// first applied first, "" for none.
func encodingOf(h http.Header) string {
	var codings []string
	for _, line := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			coding = strings.ToLower(printable(coding))
			if coding != "" && coding != "identity" {
				codings = append(codings, coding)
			}
		}
	}
	return strings.Join(codings, ", ")
}

var errFull = errors.New("larger than what is taken")

// keeper keeps what is written to it, up to one byte more than limit, without
// the value of a top member crl_pem that is larger than crlLimit. It reads just
// as much of JSON as that needs.
type keeper struct {
	limit, crlLimit int
	kept            []byte
	skipped         bool

	depth            int
	quoted, escaped  bool
	begin            int // of the string that is being read, in kept
	name             string
	isName, dropping bool
}

const crlMember = "crl_pem"

func (k *keeper) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := k.quiet(p)
		k.keep(p[:n])
		if p = p[n:]; len(p) > 0 {
			k.step(p[0])
			k.keep(p[:1])
			p = p[1:]
		}
		if len(k.kept) > k.limit {
			k.kept = k.kept[:k.limit+1]
			return written - len(p), errFull
		}
	}
	return written, nil
}

func (k *keeper) keep(p []byte) {
	if !k.dropping {
		k.kept = append(k.kept, p[:min(len(p), max(k.limit+1-len(k.kept), 0))]...)
	}
}

// quiet is how many bytes at the front of p mean nothing.
func (k *keeper) quiet(p []byte) int {
	marks := "\"{}[],:"
	switch {
	case k.escaped:
		return 0
	case k.quoted:
		marks = "\"\\"
	}
	n := bytes.IndexAny(p, marks)
	if n < 0 {
		n = len(p)
	}
	if k.inCRL() {
		n = min(n, max(k.crlLimit-(len(k.kept)-k.begin), 0))
	}
	return n
}

// inCRL reports whether the value is being read that may be left out.
func (k *keeper) inCRL() bool {
	return k.quoted && k.depth == 1 && !k.isName && k.name == crlMember && !k.dropping
}

// step takes note of one byte before it is kept.
func (k *keeper) step(c byte) {
	switch {
	case k.quoted:
		k.inString(c)
	case c == '"':
		k.quoted, k.begin = true, len(k.kept)+1
	case c == '{', c == '[':
		k.depth++
		k.isName = c == '{'
	case c == '}', c == ']':
		k.depth--
	case c == ',':
		k.isName, k.name = true, ""
	case c == ':':
		k.isName = false
	}
}

func (k *keeper) inString(c byte) {
	switch {
	case k.escaped:
		k.escaped = false
	case c == '\\':
		k.escaped = true
	case c == '"':
		k.quoted, k.dropping = false, false
		if k.isName && k.depth == 1 {
			k.name = string(k.kept[k.begin:min(len(k.kept), k.begin+len(crlMember)+1)])
		}
		return
	}
	if k.inCRL() && len(k.kept)-k.begin >= k.crlLimit {
		k.kept = k.kept[:k.begin]
		k.dropping, k.skipped = true, true
	}
}

// WithoutCRL is body, which was read whole, without the value of its member
// crl_pem.
func WithoutCRL(body []byte) []byte {
	k := keeper{limit: len(body)}
	_, _ = k.Write(body)
	return k.kept
}
