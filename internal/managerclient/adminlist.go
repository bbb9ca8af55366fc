package managerclient

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
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
// and TokenSHA256 are claims of whoever sent it.
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

// Enrollments tells each request that the manager lists to each, expired ones
// included.
func (a *Admin) Enrollments(ctx context.Context, each func(ListedRequest)) error {
	return a.do(ctx, &adminCall{method: http.MethodGet, path: adminEnrollments, stream: func(row map[string]json.RawMessage) {
		each(listed(row))
	}})
}

// listed reads a row leniently: what a host claims must not make the list
// unreadable.
func listed(row map[string]json.RawMessage) ListedRequest {
	r := ListedRequest{
		ID: text(row["id"]), MachineID: text(row["machine_id"]), FQDN: text(row["fqdn"]), Hostname: text(row["hostname"]),
		IPAddress: bareAddress(text(row["ip_address"])), TokenSHA256: text(row["polling_token"]),
		CreatedAt: moment(row["created_at"]), ExpiresAt: moment(row["expires_at"]),
	}
	var details map[string]json.RawMessage
	if json.Unmarshal(row["os_details"], &details) == nil {
		r.Proof = text(details["enrollment_proof"])
	}
	if os := row["os_details"]; len(os) <= 2*maxField && details != nil {
		r.OSDetails = append(json.RawMessage(nil), os...)
	}
	return r
}

// text is a JSON string, "" for anything else and for one that is too long to
// be meant.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
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

func moment(raw json.RawMessage) time.Time {
	t, err := time.Parse(time.RFC3339, text(raw))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func itoa(n int) string { return strconv.Itoa(n) }

var (
	errNotAList = errors.New("with something other than a JSON list")
	errRowSize  = errors.New("with a row that is longer than 1 MiB")
	errRows     = errors.New("with more than 200000 rows")
)

// stream reads a JSON list, row by row, in bounded memory.
func stream(body io.Reader, each func(map[string]json.RawMessage)) error {
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
		var row map[string]json.RawMessage
		if err := d.Decode(&row); err != nil {
			return listError(err, errNotJSON)
		}
		each(row)
	}
	_, err := d.Token()
	return listError(err, errNotJSON)
}

// listError tells what is wrong with the list from what is wrong with the way.
func listError(err, otherwise error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil && errors.Is(otherwise, errNotAList):
		return errNotAList
	case err == nil:
		return nil
	case errors.Is(err, errRowSize):
		return errRowSize
	case errors.As(err, &syntax), errors.As(err, &kind):
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
	return n, err
}
