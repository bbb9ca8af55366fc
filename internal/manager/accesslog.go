package manager

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// AccessLine is one line of the access log.
type AccessLine struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	// Path holds no secret: each part that may be one is the first eight
	// digits of its SHA-256.
	Path   string     `json:"path"`
	Status int        `json:"status"`
	Source netip.Addr `json:"source"`
}

// accessLog writes a line before the answer's first byte, so that whoever has
// an answer finds its line there.
type accessLog struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
}

func (l *accessLog) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lw := &loggedWriter{ResponseWriter: w, log: l, r: r}
		next.ServeHTTP(lw, r)
		if !lw.done {
			lw.WriteHeader(http.StatusOK)
		}
	})
}

func (l *accessLog) line(r *http.Request, status int) {
	raw, err := json.Marshal(AccessLine{
		Time: l.now().UTC(), Method: r.Method, Path: hideSecrets(r.URL.Path), Status: status, Source: source(r),
	})
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(raw, '\n'))
}

type loggedWriter struct {
	http.ResponseWriter
	log  *accessLog
	r    *http.Request
	done bool
}

func (w *loggedWriter) WriteHeader(code int) {
	if !w.done {
		w.done = true
		w.log.line(w.r, code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *loggedWriter) Write(p []byte) (int, error) {
	if !w.done {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *loggedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hideSecrets replaces what follows "status", however the path is misspelt
// before it, and any part that is longer than an id.
func hideSecrets(path string) string {
	const idLength, lineLength = 36, 1024
	parts := strings.Split(path, "/")
	after := false
	for i, p := range parts {
		if p != "" && (after || len(p) > idLength) {
			parts[i] = hashOf(p)[:8]
		}
		after = after || strings.EqualFold(p, "status")
	}
	hidden := strings.Join(parts, "/")
	return hidden[:min(len(hidden), lineLength)]
}
