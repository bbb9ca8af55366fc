package daemon

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// console is standard error: log lines, and on a terminal below them one line
// of progress that is drawn again and again. Secrets do not pass through it.
type console struct {
	mu  sync.Mutex
	out io.Writer
	// width is how wide the terminal is now; nil where there is no terminal.
	width func() int
	// line is what is to stand there, drawn what does.
	line, drawn string
	secrets     [][]byte
}

// newConsole makes a console that writes to out; stderr is what out leads to.
func newConsole(out, stderr io.Writer) *console {
	c := &console{out: out}
	f, ok := stderr.(interface{ Fd() uintptr })
	if !ok {
		return c
	}
	size := func() (*unix.Winsize, error) { return unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ) }
	if _, err := size(); err != nil {
		return c
	}
	c.width = func() int {
		// A terminal that does not know its size says 0.
		if w, err := size(); err == nil && w.Col > 0 {
			return int(w.Col)
		}
		return 80
	}
	return c
}

// terminal tells whether a progress line can be drawn.
func (c *console) terminal() bool { return c.width != nil }

// Hide keeps a secret out of everything that is written from now on.
func (c *console) Hide(secret string) {
	// Shorter ones would blot out ordinary words.
	if len(secret) < 8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.secrets, func(known []byte) bool { return string(known) == secret }) {
		c.secrets = append(c.secrets, []byte(secret))
	}
}

// Write writes log lines above the progress line.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := p
	for _, secret := range c.secrets {
		text = bytes.ReplaceAll(text, secret, []byte("(hidden)"))
	}
	c.erase()
	_, err := c.out.Write(text)
	c.draw()
	return len(p), err
}

// Line sets the progress line; an empty one takes it away.
func (c *console) Line(text string) {
	if !c.terminal() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	c.line = text
	c.draw()
}

// erase makes room for other text. A line that a narrowed terminal has broken
// in two cannot be taken back in the same way on all terminals: it stays, and
// the next one begins below it.
func (c *console) erase() {
	if c.drawn == "" {
		return
	}
	away := "\r\x1b[K"
	if utf8.RuneCountInString(c.drawn) >= c.width() {
		away = "\r\n"
	}
	_, _ = io.WriteString(c.out, away)
	c.drawn = ""
}

func (c *console) draw() {
	if c.line == "" {
		return
	}
	text := c.line
	if room := c.width() - 1; utf8.RuneCountInString(text) > room {
		text = strings.TrimSpace(string([]rune(text)[:max(room, 0)]))
	}
	_, _ = io.WriteString(c.out, text)
	c.drawn = text
}
