package managerclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
	"unicode/utf8"
)

const (
	// maxRow bounds one row of a list, maxRows their number and maxList all of
	// them: anybody can send requests.
	maxRow  = 1 << 20
	maxRows = 200_000
	maxList = 512 << 20
	// maxField is what is kept of one text of a row.
	maxField = 512
)

// ListedRequest is one enrollment request as the manager lists it. All but ID
// and TokenSHA256 are claims of anyone who sent it.
type ListedRequest struct {
	ID        string
	MachineID string
	FQDN      string
	Hostname  string
	// IPAddress is without the /32 or /128 that managers show.
	IPAddress string
	// TokenSHA256 is empty where the manager does not show it.
	TokenSHA256 string
	Proof       string
	// OSDetails is the JSON of what the request says of the system, as it came;
	// nil where it is not small.
	OSDetails json.RawMessage
	CreatedAt time.Time
	ExpiresAt time.Time
}

// wireRow is a row as it comes. Its texts are read leniently: what a host claims
// must not make the list unreadable. One serves a whole list, so that a row of
// no one costs no memory.
type wireRow struct {
	ID           json.RawMessage `json:"id"`
	MachineID    json.RawMessage `json:"machine_id"`
	FQDN         json.RawMessage `json:"fqdn"`
	Hostname     json.RawMessage `json:"hostname"`
	IPAddress    json.RawMessage `json:"ip_address"`
	PollingToken json.RawMessage `json:"polling_token"`
	OSDetails    json.RawMessage `json:"os_details"`
	CreatedAt    json.RawMessage `json:"created_at"`
	ExpiresAt    json.RawMessage `json:"expires_at"`
}

// clear keeps what was allocated. What the next row has not must not be that of
// the last one.
func (w *wireRow) clear() {
	for _, field := range []*json.RawMessage{&w.ID, &w.MachineID, &w.FQDN, &w.Hostname, &w.IPAddress, &w.PollingToken, &w.OSDetails, &w.CreatedAt, &w.ExpiresAt} {
		*field = (*field)[:0]
	}
}

// Enrollments tells each request that the manager lists, expired ones included.
// begin gives the function that is told; it is called again where the list was
// cut off and is asked for once more.
func (a *Admin) Enrollments(ctx context.Context, begin func() func(ListedRequest)) error {
	return a.do(ctx, &adminCall{method: http.MethodGet, path: adminEnrollments, stream: func() func(decode) error {
		return requestRows(begin())
	}})
}

func requestRows(each func(ListedRequest)) func(decode) error {
	row := &wireRow{}
	return func(read decode) error {
		row.clear()
		err := read(row)
		if err == nil {
			each(row.listed())
		}
		return err
	}
}

func (w *wireRow) listed() ListedRequest {
	r := ListedRequest{
		ID: text(w.ID), MachineID: text(w.MachineID), FQDN: text(w.FQDN), Hostname: text(w.Hostname),
		IPAddress: bareAddress(text(w.IPAddress)), TokenSHA256: text(w.PollingToken),
		CreatedAt: moment(w.CreatedAt), ExpiresAt: moment(w.ExpiresAt),
	}
	var details map[string]json.RawMessage
	if json.Unmarshal(w.OSDetails, &details) == nil {
		r.Proof = text(details["enrollment_proof"])
	}
	if len(w.OSDetails) <= 2*maxField && details != nil {
		r.OSDetails = append(json.RawMessage(nil), w.OSDetails...)
	}
	return r
}

// text is a JSON string, "" for anything else and for one that is too long to
// be meant.
func text(raw json.RawMessage) string {
	var s string
	switch {
	case len(raw) < 2 || raw[0] != '"':
		return ""
	case bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw):
		s = string(raw[1 : len(raw)-1])
	case json.Unmarshal(raw, &s) != nil:
		return ""
	}
	if len(s) > maxField {
		return s[:maxField] + "…"
	}
	return s
}

func firstText(row map[string]json.RawMessage, names ...string) string {
	for _, name := range names {
		if s := text(row[name]); s != "" {
			return s
		}
	}
	return ""
}

// moment is a time, the zero time for anything else.
func moment(raw json.RawMessage) time.Time {
	t, _ := time.Parse(time.RFC3339, text(raw))
	return t.UTC()
}

var (
	errPage     = errors.New("with an HTML page")
	errNotAList = errors.New("with something other than a JSON list")
	errRowSize  = errors.New("with a row that is longer than 1 MiB")
	errRows     = errors.New("with more than 200000 rows")
)

// decode reads the next row of a list.
type decode func(into any) error

// stream reads a JSON list, row by row, in bounded memory.
func stream(body io.Reader, each func(decode) error) error {
	capped := &perRow{r: io.LimitReader(body, maxList), left: maxRow}
	d := json.NewDecoder(capped)
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return listError(err, errNotAList)
	}
	for n := 0; d.More(); n++ {
		if n == maxRows {
			return errRows
		}
		capped.left = maxRow
		if err := each(d.Decode); err != nil {
			return listError(err, errNotJSON)
		}
	}
	_, err := d.Token()
	return listError(err, errNotJSON)
}

// listError tells what is wrong with the list from what is wrong with the way.
func listError(err, otherwise error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil && errors.Is(otherwise, errNotAList):
		return errNotAList
	case err == nil:
		return nil
	case errors.Is(err, errRowSize):
		return errRowSize
	case syntax, kind:
		return otherwise
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errNotJSON
	}
	return err
}

// perRow bounds how much is read before left is set again.
type perRow struct {
	r    io.Reader
	left int
}

func (p *perRow) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, errRowSize
	}
	if len(b) > p.left {
		b = b[:p.left]
	}
	n, err := p.r.Read(b)
	p.left -= n
	// The decoder says the same of a text that ends too early.
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = net.ErrClosed
	}
	return n, err
}
