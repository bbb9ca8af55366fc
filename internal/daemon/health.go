package daemon

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// handler answers the paths that managers ask; everything in the envelope.
func (l *listener) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", l.health)
	mux.HandleFunc("/api/v1/health", l.health)
	mux.HandleFunc("/api/v1/system/info", l.systemInfo)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		l.answer(w, http.StatusNotFound, nil, &contract.HealthError{Code: "NOT_FOUND", Message: "there is nothing at this path"})
	})
	return l.judged(mux)
}

// judged drops a connection that outlived its permission: it was let in before
// its address left the whitelist, or its certificate came on the CRL.
func (l *listener) judged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !l.door.allows(from.Addr().Unmap()) || r.TLS == nil || l.verify(*r.TLS) != nil {
			drop(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// drop closes the connection without an answer.
func drop(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
		return
	}
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusForbidden)
}

func (l *listener) health(w http.ResponseWriter, r *http.Request) {
	if !l.onlyGet(w, r) {
		return
	}
	now := l.now()
	h := contract.Health{Status: "healthy", Version: l.version, UptimeSeconds: seconds(time.Since(l.started))}
	if set := l.set.Load(); set != nil && set.crl != nil {
		age := seconds(now.Sub(set.crl.ThisUpdate))
		h.CRLStatus, h.CRLAgeSeconds = crlCondition(set, now), &age
		if end := set.crl.NextUpdate; !end.IsZero() {
			h.CRLNextUpdate = end.UTC().Format(time.RFC3339)
		}
	}
	l.answer(w, http.StatusOK, h, nil)
}

// systemInfo says what this host is, as far as an agent without patch
// management knows.
func (l *listener) systemInfo(w http.ResponseWriter, r *http.Request) {
	if !l.onlyGet(w, r) {
		return
	}
	info := l.host()
	info.AgentVersion, info.UptimeSeconds = l.version, seconds(time.Since(l.started))
	l.answer(w, http.StatusOK, info, nil)
}

func (l *listener) onlyGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	l.answer(w, http.StatusMethodNotAllowed, nil, &contract.HealthError{Code: "METHOD_NOT_ALLOWED", Message: "use GET"})
	return false
}

// crlCondition is the CRL's state in one word.
func crlCondition(s *served, now time.Time) string {
	switch {
	case s.crlProblem != nil:
		return "unreadable"
	case s.crl.OutOfDate(now):
		return "expired"
	default:
		return "valid"
	}
}

// seconds is a whole number of seconds, none of them negative, whatever the
// clock did.
func seconds(d time.Duration) uint64 { return uint64(max(d, 0) / time.Second) }

func (l *listener) answer(w http.ResponseWriter, status int, data any, problem *contract.HealthError) {
	raw, err := json.Marshal(data)
	if err != nil {
		raw = []byte("null")
	}
	body, err := json.Marshal(contract.HealthEnvelope{
		Success: problem == nil, RequestID: requestID(), Timestamp: l.now().UTC().Format(time.RFC3339Nano),
		Data: raw, Error: problem,
	})
	if err != nil {
		status, body = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// requestID is a random UUID, RFC 9562, 5.4.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails, says its documentation
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
