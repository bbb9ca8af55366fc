package enroll

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// describe fills in the facts of what is on disk when a run ends.
func (r *run) describe() {
	r.res.Manager = r.managerFacts()
	o := r.o
	if o == nil {
		return
	}
	if r.res.MachineID == "" {
		r.res.MachineID, r.res.FQDN = o.Provenance().MachineID, o.Provenance().FQDN
	}
	r.res.Request = r.evidence(r.res.Manager, r.res.MachineID)
	r.res.Certificates, r.res.Key = o.certificates(), o.keyFacts()
	if r.res.Whitelist == nil {
		r.res.Whitelist = &report.Whitelist{Path: r.Whitelist}
	}
	if t := r.liveToken(); t != nil && r.res.PendingSince == "" {
		r.res.PendingSince = t.Since.Format(time.RFC3339)
	}
	if r.res.State == "" || r.res.Failed && r.res.State == contract.StateAbsent {
		r.res.State = r.state(r.liveToken())
	}
}

func (r *run) managerFacts() *report.Manager {
	m := &report.Manager{}
	if r.URL != nil {
		m.URL = r.URL.String()
	}
	if r.o == nil {
		return m
	}
	if m.URL == "" {
		m.URL = r.o.Provenance().ManagerURL
	}
	if ip := r.knownManagerIP(); ip.IsValid() {
		m.IP = ip.String()
	}
	return m
}

// evidence is what an approver compares, and how it came to the manager.
func (r *run) evidence(m *report.Manager, machineID string) *report.Request {
	facts, sent := r.requestFacts(machineID)
	if facts == nil {
		return nil
	}
	m.CertificateSHA256, m.VerifiedBy = sent.CertificateSHA256, sent.VerifiedBy
	return facts
}

// state is how far the host has come, by its disk alone.
func (r *run) state(live *statedir.Token) contract.State {
	o := r.o
	switch {
	case live != nil, o.Spool() != nil:
		return contract.StatePending
	case r.foreign() != "":
		return contract.StateForeign
	case o.set != nil && o.unusable == nil:
		return contract.StateEnrolled
	case o.Token() != nil && o.Token().Dead != "":
		return o.Token().Dead
	default:
		return contract.StateAbsent
	}
}

func (o *observed) certificates() *report.Certificates {
	if o.set == nil {
		return nil
	}
	return &report.Certificates{
		CA:     &report.Certificate{Path: o.ca.Path, Facts: pki.FactsOf(o.set.CA)},
		Server: &report.Certificate{Path: o.cert.Path, Facts: pki.FactsOf(o.set.Server)},
	}
}

func (o *observed) keyFacts() *report.Key {
	if !o.key.Exists {
		return nil
	}
	return &report.Key{Path: o.key.Path, Mode: octal(o.key)}
}

func octal(f hostfs.File) string { return fmt.Sprintf("%04o", f.Mode&fs.ModePerm) }
