package enroll

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// RefreshCRL fetches the CRL from the manager and puts it in place where it is
// newer. What makes it trusted is its signature by the installed CA: HTTPS that
// does not verify is a warning. inForce is the list that the caller goes by,
// nil where there is none: an older one is never taken, whatever is on disk.
func (e *Enroller) RefreshCRL(ctx context.Context, p options.Params, inForce *pki.CRL) (changed bool, warnings []string, err error) {
	p.Wait = false
	s, err := e.Host().Settle(p)
	if err != nil {
		return false, nil, err
	}
	r := e.run(s, report.New())
	r.Disk = &observe.Disk{Store: &statedir.Store{}}
	if err := r.NeedURL(); err != nil {
		return false, nil, err
	}
	// A list of a large fleet is not to wait for a process that allocates little.
	defer debug.FreeOSMemory()
	// The manager is asked before any lock is taken.
	list, err := e.fetchCRL(ctx, r)
	if err == nil {
		changed, err = r.installCRL(ctx, list, inForce)
	}
	return changed, r.Result.Warnings, err
}

func (r *run) installCRL(ctx context.Context, list *pki.CRLHead, inForce *pki.CRL) (changed bool, err error) {
	lock, err := r.lock(ctx, true)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	return r.InstallCRL(ctx, list, inForce)
}

func (e *Enroller) fetchCRL(ctx context.Context, r *run) (*pki.CRLHead, error) {
	list, err := r.fetchCRLOnce(ctx)
	if err == nil || contract.CodeOf(err) != contract.CodeTLSUntrusted || r.Insecure {
		return list, err
	}
	r.Result.Warn(fmt.Sprintf("the CRL was fetched without verifying the manager's HTTPS (%v); its signature by the CA is what it is trusted by", err))
	loose := *r.Settings
	loose.Insecure, loose.ManagerCAPath, loose.ManagerCAPEM, loose.ManagerCAFingerprint = true, "", "", ""
	again := e.run(&loose, report.New())
	again.Disk = r.Disk
	return again.fetchCRLOnce(ctx)
}

func (r *run) fetchCRLOnce(ctx context.Context) (list *pki.CRLHead, err error) {
	client, err := r.Client()
	if err != nil {
		return nil, err
	}
	fetcher, ok := client.(interface {
		FetchCRL(context.Context, func(io.Reader) error) error
	})
	if !ok {
		return nil, contract.Errorf(contract.CodeInternal, "%T fetches no CRL", client)
	}
	err = fetcher.FetchCRL(ctx, func(from io.Reader) error {
		if list, err = pki.ReadCRLHead("the manager's CRL", from); err != nil {
			return contract.Errorf(contract.CodeBadAnswer, "%w", err)
		}
		return nil
	})
	return list, err
}
