package statedir

import (
	"crypto/rand"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// What a Store tells after a call is what another Store reads from the disk.
func TestStoreTellsWhatIsOnDisk(t *testing.T) {
	lost := clock() // a mark on disk has the time of its making
	token := Token{Token: "TokenCanary0123456789", ManagerURL: "https://m.example", MachineID: machineID, Since: clock()}
	registered := func(s *Store) error { return s.SaveToken(token) }
	for _, step := range []struct {
		name  string
		calls []func(*Store) error
	}{
		{"a token", []func(*Store) error{registered}},
		{"a dead token", []func(*Store) error{registered, func(s *Store) error { return s.Bury(contract.StateDenied, true) }}},
		{"no token to bury", []func(*Store) error{func(s *Store) error { return s.Bury(contract.StateDenied, true) }}},
		{"a request", []func(*Store) error{func(s *Store) error { return register(s, nil) }}},
		{"an answered request", []func(*Store) error{func(s *Store) error { return register(s, &token) }}},
		{"an adopted request", []func(*Store) error{func(s *Store) error { return register(s, &token) }, (*Store).Adopt}},
		{"a forgotten request", []func(*Store) error{func(s *Store) error { return register(s, nil) }, (*Store).ForgetRequest}},
		{"a poll", []func(*Store) error{func(s *Store) error { return poll(s, "") }}},
		{"an answer", []func(*Store) error{func(s *Store) error { return poll(s, "answer") }}},
		{"a dropped answer", []func(*Store) error{func(s *Store) error { return poll(s, "answer") }, (*Store).DropSpool}},
		{"an earlier poll", []func(*Store) error{func(s *Store) error { return poll(s, "answer") }, func(s *Store) error { return s.RestorePoll(&lost) }}},
		{"an answer set aside", []func(*Store) error{func(s *Store) error { return poll(s, "answer") }, func(s *Store) error { _, err := s.SetAside(); return err }}},
		{"a signature", []func(*Store) error{(*Store).Sign}},
		{"a fulfilled request", []func(*Store) error{registered, func(s *Store) error { return poll(s, "answer") }, (*Store).EndRequest}},
		{"a removal", []func(*Store) error{registered, (*Store).Sign, func(s *Store) error {
			secrets, err := s.Secrets()
			if err != nil {
				return err
			}
			return s.Clear(secrets, clock())
		}}},
	} {
		t.Run(step.name, func(t *testing.T) {
			o := options(t)
			s := load(t, o)
			for _, call := range step.calls {
				if err := call(s); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := told(s), told(load(t, o)); !reflect.DeepEqual(got, want) {
				t.Errorf("the store tells\n%+v\nwant what is on disk\n%+v", got, want)
			}
		})
	}
}

// In check mode nothing on disk changes.
func TestCheckModeDropsInMemoryAlone(t *testing.T) {
	o := options(t)
	if err := poll(load(t, o), "answer"); err != nil {
		t.Fatal(err)
	}
	checking := o
	checking.Check = true
	s := load(t, checking)
	if err := s.DropSpool(); err != nil || s.Spool() != nil {
		t.Errorf("got %v and %v, want no answer in memory", err, s.Spool())
	}
	if load(t, o).Spool() == nil {
		t.Error("got no answer on disk, want the one that was there")
	}
}

const machineID = "0123456789abcdef0123456789abcdef"

func clock() time.Time { return time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC) }

func options(t *testing.T) Options {
	t.Helper()
	root, err := hostfs.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := hostfs.New(root, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: clock, Random: rand.Reader})
	if err := files.EnsureDir("/state", 0o700); err != nil {
		t.Fatal(err)
	}
	return Options{
		Files: files, Paths: PathsIn("/state"), UID: os.Geteuid(), GID: os.Getegid(),
		MachineID: machineID, Now: clock, Secret: func(string) {},
	}
}

func load(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func register(s *Store, answer *Token) error {
	r, err := s.PrepareRequest()
	if err != nil {
		return err
	}
	defer r.Close()
	if answer == nil {
		return nil
	}
	return r.Store(*answer)
}

func poll(s *Store, answer string) error {
	p, err := s.PreparePoll()
	if err != nil {
		return err
	}
	defer p.Close()
	if answer == "" {
		s.MarkPoll()
		return nil
	}
	a := Answer{HTTPStatus: 200, URL: "https://m.example", At: clock(), Body: []byte(answer)}
	if err := p.Store(a); err != nil {
		return err
	}
	s.Hold(a)
	return nil
}

func told(s *Store) []any {
	return []any{s.Token(), s.NewToken(), s.RequestAt(), s.PollAt(), s.Spool(), s.Provenance()}
}
