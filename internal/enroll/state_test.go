package enroll

import (
	"slices"
	"testing"
)

func TestProvenanceOwnsWhatIsBeingPlacedAndWhatWas(t *testing.T) {
	var p provenance
	p.place("/a", "old")
	p.place("/gone", "x")
	p.place("/elsewhere", "y")
	p.place("/elsewhere/gone", "z")
	before := p
	p.place("/a", "new")
	for _, d := range []string{"old", "new"} {
		if !p.owns("/a", d) {
			t.Errorf("between the sets %q must be ours", d)
		}
	}
	if p.owns("/a", "by hand") || p.owns("/b", "old") {
		t.Error("claims what it did not write")
	}
	p.settleFiles(map[string]string{"/a": "new", "/gone": ""}, func(path string) bool { return path == "/elsewhere/gone" })
	if p.owns("/a", "old") || !p.owns("/a", "new") || p.owns("/gone", "x") || !p.owns("/elsewhere", "y") || p.owns("/elsewhere/gone", "z") {
		t.Errorf("after the set stands: %+v", p.Files)
	}
	if !before.owns("/a", "old") || before.owns("/a", "new") {
		t.Errorf("an earlier copy was changed: %+v", before.Files)
	}
}

func TestProvenanceListsEachEntryOnce(t *testing.T) {
	var p provenance
	p.addWhitelistEntry("/w", "192.0.2.1")
	p.addWhitelistEntry("/w", "192.0.2.1")
	p.addWhitelistEntry("/w", "192.0.2.2")
	if !slices.Equal(p.WhitelistEntries, []string{"192.0.2.1", "192.0.2.2"}) {
		t.Error(p.WhitelistEntries)
	}
	p.dropWhitelistEntry("192.0.2.1")
	if !slices.Equal(p.WhitelistEntries, []string{"192.0.2.2"}) {
		t.Error(p.WhitelistEntries)
	}
}

func TestDamagedRecordsAreNotQuoted(t *testing.T) {
	err := decodeRecord("/state/token", []byte(`{"token": "canary-token`), &tokenRecord{})
	if err == nil || err.Error() != "/state/token is damaged: it is not the JSON that this program wrote" {
		t.Error(err)
	}
}
