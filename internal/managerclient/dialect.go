package managerclient

import "net/http"

// Dialect is how a manager tells the state of a request (contract). It is told
// by the manager's answers and kept with the token: what a gateway in front of
// the manager says must not be read in a dialect that the manager does not
// speak.
type Dialect int

// The dialects.
const (
	// DialectUnknown: no answer has told it yet.
	DialectUnknown Dialect = iota
	// DialectCode tells the state by the HTTP code.
	DialectCode
	// DialectBody tells it by the body's status, always with 200.
	DialectBody
)

// after is what is known once an answer was judged. Who has told by the body is
// not believed to tell by codes any more: that may be a gateway.
func (d Dialect) after(a Answer, v Verdict) Dialect {
	if v != Pending && v != Denied && v != Unknown {
		return d
	}
	var status string
	if a.HTTPStatus == http.StatusOK && readMembers(a.Body, map[string]*string{"status": &status}) == nil && status != "" {
		return DialectBody
	}
	if d == DialectUnknown {
		return DialectCode
	}
	return d
}
