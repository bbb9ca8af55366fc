package manager

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime/debug"
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

// accessLog writes a line before the answer's first byte, so that anyone who has
// an answer finds its line there.
type accessLog struct {
	mu  sync.Mutex
	w   io.Writer
	now func() time.Time
	// failed is told of requests that ended in a fault.
	failed func(error)
}

func (l *accessLog) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lw := &loggedWriter{ResponseWriter: w, log: l, r: r}
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer l.recoverFault(lw)
		next.ServeHTTP(lw, r)
		if !lw.done {
			lw.WriteHeader(http.StatusOK)
		}
	})
}

// recoverFault ends a request that hit a damaged part of the database's map,
// and leaves other panics alone.
func (l *accessLog) recoverFault(w *loggedWriter) {
	r := recover()
	if r == nil {
		return
	}
	if _, fault := r.(interface{ Addr() uintptr }); !fault {
		panic(r)
	}
	l.failed(fmt.Errorf("the database %w", errDamaged))
	if !w.done {
		answerError(w, http.StatusInternalServerError, "Database error")
	}
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
