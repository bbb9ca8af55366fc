package daemon

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/sirupsen/logrus"
)

const (
	// settleFor is how long files must rest before they are read: a commit is
	// several renames. settleWithin bounds it where they never rest.
	settleFor    = 100 * time.Millisecond
	settleWithin = 500 * time.Millisecond
	// lookEvery is for file systems that tell of no changes, and for what a
	// watch has missed.
	lookEvery = time.Minute
)

// watch asks for a reload, through the channel changed, after files have
// changed, until ctx ends. It watches directories, not files: a replaced file
// is another one. Their parents are watched too, since a directory may be
// missing, or replaced as a whole.
func watch(ctx context.Context, log *logrus.Logger, files []string, changed chan<- struct{}) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	w, err := newDirWatch(files)
	if err != nil {
		log.WithError(err).Warnf("files cannot be watched: they are looked at every %s", lookEvery)
		w = &dirWatch{Watcher: &fsnotify.Watcher{}}
	} else {
		defer func() { _ = w.Close() }()
	}
	// What changed before the watch stood.
	poke(changed)
	var rest settle
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-w.Events:
			if ok && w.concerns(event) {
				rest.stir()
			}
		case err, ok := <-w.Errors:
			if ok {
				log.WithError(err).Debug("watching files")
				rest.stir()
			}
		case <-look.C:
			w.watchAll()
			poke(changed)
		case <-rest.over():
			rest.done()
			w.watchAll()
			poke(changed)
		}
	}
}

// poke does not wait: one reload in waiting sees all changes before it.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// settle waits for quiet after the last of several changes.
type settle struct {
	timer *time.Timer
	first time.Time
}

func (s *settle) stir() {
	now := time.Now()
	if s.timer == nil {
		s.first = now
		s.timer = time.NewTimer(settleFor)
		return
	}
	s.timer.Reset(min(settleFor, max(settleWithin-now.Sub(s.first), 0)))
}

func (s *settle) over() <-chan time.Time {
	if s.timer == nil {
		return nil
	}
	return s.timer.C
}

func (s *settle) done() { s.timer = nil }

// dirWatch watches the directories of some files.
type dirWatch struct {
	*fsnotify.Watcher
	files, dirs []string
}

func newDirWatch(files []string) (*dirWatch, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	d := &dirWatch{Watcher: w, files: files}
	for _, f := range files {
		d.dirs = append(d.dirs, filepath.Dir(f))
	}
	slices.Sort(d.dirs)
	d.dirs = slices.Compact(d.dirs)
	d.watchAll()
	return d, nil
}

// watchAll adds what is there and not watched. A directory that was made anew
// under its old name has lost its watch with the old one.
func (d *dirWatch) watchAll() {
	for _, dir := range d.dirs {
		_ = d.Add(filepath.Dir(dir))
		_ = d.Add(dir)
	}
}

func (d *dirWatch) concerns(e fsnotify.Event) bool {
	return slices.Contains(d.files, e.Name) || slices.Contains(d.dirs, e.Name)
}
