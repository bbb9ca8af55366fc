package pki

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

const (
	crlBegin = pemBegin + typeCRL + "-----"
	crlEnd   = "-----END " + typeCRL + "-----"
)

// readCRLBlock returns the DER of the one PEM block that from holds; text around
// it is skipped (RFC 7468, section 2). No text is kept: a list of a large fleet
// fills tens of megabytes once as it is.
func readCRLBlock(name string, from io.Reader) ([]byte, error) {
	block := &crlText{lines: bufio.NewReaderSize(io.LimitReader(from, maxCRLBytes+1), 64<<10)}
	der, err := block.decode()
	switch {
	case block.read > maxCRLBytes:
		return nil, fmt.Errorf("%s: %w: more than %d bytes, which is what is accepted", name, ErrMalformed, maxCRLBytes)
	case block.failed != nil:
		return nil, fmt.Errorf("%s: %w", name, block.failed)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", name, ErrMalformed, err)
	}
	return der, nil
}

// crlText reads lines up to a PEM block, then gives the text in it.
type crlText struct {
	lines *bufio.Reader
	read  int
	// failed is why reading ended, where that is not the end.
	failed error
	blank  bool
	ended  bool
	rest   []byte
}

var errCRLBroken = errors.New("PEM block 1 is broken or cut off")

func (t *crlText) decode() ([]byte, error) {
	if err := t.find(); err != nil {
		return nil, err
	}
	der, err := readDER(base64.NewDecoder(base64.StdEncoding, t))
	if err != nil || !t.ended {
		return nil, errCRLBroken
	}
	for {
		line, more := t.line()
		switch {
		case bytes.HasPrefix(line, []byte(pemBegin)):
			return nil, errors.New("more than 1 PEM blocks")
		case !more:
			return der, nil
		}
	}
}

// readDER reads all of from into memory of the size that its first bytes claim
// (X.690, 8.1.3), so that a large list is there once, and not copied as it grows.
func readDER(from io.Reader) ([]byte, error) {
	var head [6]byte
	n, err := io.ReadFull(from, head[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	der := bytes.NewBuffer(make([]byte, 0, min(claimedSize(head[:n]), maxCRLBytes)+bytes.MinRead))
	der.Write(head[:n])
	_, err = der.ReadFrom(from)
	return der.Bytes(), err
}

func claimedSize(head []byte) int {
	if len(head) < 6 || head[1] < 0x81 || head[1] > 0x84 {
		return 0
	}
	size := 2 + int(head[1]&0x7f)
	for i := range int(head[1] & 0x7f) {
		size += int(head[2+i]) << (8 * (int(head[1]&0x7f) - 1 - i))
	}
	return size
}

// find goes to the line after the one that begins the block.
func (t *crlText) find() error {
	t.blank = true
	for {
		line, more := t.line()
		switch {
		case string(bytes.TrimRight(line, " \t\r\n")) == crlBegin:
			return nil
		case bytes.HasPrefix(line, []byte(pemBegin)):
			return errors.New("the PEM block is not a plain " + typeCRL)
		}
		t.blank = t.blank && blank(line)
		if !more {
			if t.blank {
				return errors.New("empty")
			}
			return errors.New("no PEM block")
		}
	}
}

// line returns a line with its end, a long one in several parts; more is false
// at the end.
func (t *crlText) line() (line []byte, more bool) {
	line, err := t.lines.ReadSlice('\n')
	t.read += len(line)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		t.failed = err
	}
	return line, err == nil || errors.Is(err, bufio.ErrBufferFull)
}

// Read gives the base64 text up to the line that ends the block.
func (t *crlText) Read(p []byte) (int, error) {
	for len(t.rest) == 0 {
		if t.ended {
			return 0, io.EOF
		}
		line, more := t.line()
		line = bytes.Trim(line, " \t\r\n")
		switch {
		case string(line) == crlEnd:
			t.ended = true
		case !more:
			return 0, errCRLBroken
		default:
			t.rest = line
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}
