package statedir

import (
	"slices"
	"testing"
)

func TestProvenanceOwnsWhatIsBeingPlacedAndWhatWas(t *testing.T) {
	var p Provenance
	p.Place("/a", "old")
	p.Place("/gone", "x")
	p.Place("/elsewhere", "y")
	p.Place("/elsewhere/gone", "z")
	before := p
	p.Place("/a", "new")
	for _, d := range []string{"old", "new"} {
		if !p.Owns("/a", d) {
			t.Errorf("between the sets %q must be ours", d)
		}
	}
	if p.Owns("/a", "by hand") || p.Owns("/b", "old") {
		t.Error("claims what it did not write")
	}
	p.Installed(map[string]string{"/a": "new", "/gone": ""}, func(path string) bool { return path == "/elsewhere/gone" })
	if p.Owns("/a", "old") || !p.Owns("/a", "new") || p.Owns("/gone", "x") || !p.Owns("/elsewhere", "y") || p.Owns("/elsewhere/gone", "z") {
		t.Errorf("after the set stands: %+v", p.Files)
	}
	if !before.Owns("/a", "old") || before.Owns("/a", "new") {
		t.Errorf("an earlier copy was changed: %+v", before.Files)
	}
}

func TestProvenanceListsEachEntryOnce(t *testing.T) {
	var p Provenance
	p.AddWhitelistEntry("/w", "192.0.2.1")
	p.AddWhitelistEntry("/w", "192.0.2.1")
	p.AddWhitelistEntry("/w", "192.0.2.2")
	if !slices.Equal(p.WhitelistEntries, []string{"192.0.2.1", "192.0.2.2"}) {
		t.Error(p.WhitelistEntries)
	}
	p.DropWhitelistEntry("192.0.2.1")
	if !slices.Equal(p.WhitelistEntries, []string{"192.0.2.2"}) {
		t.Error(p.WhitelistEntries)
	}
}

func TestDamagedRecordsAreNotQuoted(t *testing.T) {
	err := decodeRecord("/state/token", []byte(`{"token": "canary-token`), &Token{})
	if err == nil || err.Error() != "/state/token is damaged: it is not the JSON that this program wrote" {
		t.Error(err)
	}
}
