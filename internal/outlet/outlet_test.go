package outlet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func say(lost int64) []byte { return fmt.Appendf(nil, "%d lost\n", lost) }

// TestAPipeThatNobodyReads: nothing blocks, memory is bounded, and what was lost
// is said once someone reads.
func TestAPipeThatNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	o := New(w, say, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	line := []byte(strings.Repeat("x", 999) + "\n")
	for range 5000 {
		if n, err := o.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	<-changed
	lost := o.Lost()
	if lost < 3000 {
		t.Errorf("got %d lines lost, want most of 5000", lost)
	}
	o.Flush(10 * time.Millisecond)
	all := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(r)
		all <- text
	}()
	if _, err := o.Write([]byte("the end\n")); err != nil {
		t.Fatal(err)
	}
	o.Flush(time.Minute)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text := <-all
	// Some may be told of while more are being lost, and the last line may be one of them.
	told := int64(0)
	for _, m := range regexp.MustCompile(`(\d+) lost\n`).FindAllSubmatch(text, -1) {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		told += n
	}
	if told != lost && told != lost+1 {
		t.Errorf("got %d lost lines told of, want %d", told, lost)
	}
}

// full is a disk that fills up and is emptied again.
type full struct {
	mu   sync.Mutex
	text bytes.Buffer
	full bool
}

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		n, _ := f.text.Write(p[:1])
		return n, errFull
	}
	return f.text.Write(p)
}

func (f *full) set(to bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = to
}

func TestAFullDisk(t *testing.T) {
	disk := &full{}
	o := New(disk, say, nil)
	write := func(s string) {
		if _, err := io.WriteString(o, s); err != nil {
			t.Fatal(err)
		}
		o.Flush(time.Minute)
	}
	write("a\n")
	disk.set(true)
	write("b\n")
	write("c\n")
	disk.set(false)
	write("d\n")
	write("e\n")
	if got, want := disk.text.String(), "a\nb\n\n2 lost\nd\ne\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := o.Lost(); got != 2 {
		t.Errorf("got %d lost, want 2", got)
	}
}
