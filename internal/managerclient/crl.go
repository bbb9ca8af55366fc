package managerclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
)

// FetchCRL fetches the manager's revocation list, which is public, and has it
// read as it arrives: its text fills tens of megabytes. What comes is for read to
// judge: it is no more than what something answered with 200, decoded.
func (c *Client) FetchCRL(ctx context.Context, read func(io.Reader) error) error {
	f := &flight{client: c, method: http.MethodGet}
	resp, err := f.open(ctx, contract.CRLPath)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return f.fail(contract.Errorf(contract.CodeManagerError, "%s%s answers HTTP %d", c.base, contract.CRLPath, resp.StatusCode))
	}
	body := &arriving{from: io.LimitReader(resp.Body, MaxBody+1)}
	text, err := decodeText(encodingOf(resp.Header), body)
	switch {
	case body.failed != nil:
	case err != nil:
		return f.fail(contract.Errorf(contract.CodeBadAnswer, "%s%s answers with what cannot be decoded: %w", c.base, contract.CRLPath, err))
	default:
		err = read(text)
	}
	if body.failed != nil {
		f.mayHaveActed = true
		return f.cutOff(ctx, body.failed)
	}
	return err
}

// arriving remembers what ended a body before its end.
type arriving struct {
	from   io.Reader
	failed error
}

func (a *arriving) Read(into []byte) (int, error) {
	n, err := a.from.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		a.failed = err
	}
	return n, err
}

// sniffed is how much of a body says whether it is text.
const sniffed = 512

// decodeText gives the text of a body. One that is text goes by that, whatever it
// is said to be encoded as, and gzip tells itself.
func decodeText(encoding string, body io.Reader) (io.Reader, error) {
	front := bufio.NewReader(body)
	// An error comes again where the body is read.
	begin, _ := front.Peek(sniffed)
	switch {
	case isText(begin):
		return front, nil
	case encoding == "" && strings.HasPrefix(string(begin), "\x1f\x8b"):
		encoding = "gzip"
	case encoding == "":
		return front, nil
	}
	return decodeAll(encoding, front)
}

func isText(b []byte) bool {
	return !bytes.ContainsFunc(b, func(c rune) bool { return c < ' ' && !strings.ContainsRune("\t\r\n", c) || c >= 0x7f })
}
