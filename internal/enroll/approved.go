package enroll

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/plan"
)

// approved puts an answer in place that this run received.
func (r *run) approved(ctx context.Context, a *converse.Answer) error {
	r.Progress(converse.Progress{Phase: converse.PhaseProvision, Attempts: r.Result.Attempts})
	r.Result.Attempts++
	r.Record(contract.EventApproved, nil)
	err := r.Provision(ctx, a.Bundle, install.SourceOf(a.Answer))
	if err != nil && !a.Stored && !r.underWay(a.Bundle) {
		return contract.Errorf(contract.CodeOf(err), "the manager's bundle could be neither stored nor put in place, and is lost: %w", err).
			WithHint("%s; for host %s, %s, then run again", contract.HintOf(err), r.Result.FQDN, contract.KnownHost)
	}
	return r.unplaced(err)
}

// underWay reports whether the next run can do without the manager: a bundle is
// in place, or staged with its journal.
func (r *run) underWay(bundle *contract.PkiBundle) bool {
	journal, err := r.Files.LoadJournal(r.StatePaths().Journal)
	if err != nil || journal != nil {
		return journal != nil
	}
	cert, err := r.Files.Read(r.ServerCert)
	return err == nil && cert.Exists && strings.HasPrefix(string(cert.Content), strings.TrimSpace(bundle.ServerCrt))
}

// provisionSpool puts an answer in place that an earlier run received. It asks
// no one. again says that there was no bundle in it, and that there is something
// else to do.
func (r *run) provisionSpool(ctx context.Context) (again bool, err error) {
	verdict, bundle, err := managerclient.Judge(r.Disk.Spool().HTTPStatus, r.Disk.Spool().Body)
	switch verdict {
	case managerclient.Approved:
	case managerclient.Bad:
		return false, r.Perform(plan.Step{Do: func() error {
			return r.Nonsense(&converse.Answer{Answer: *r.Disk.Spool(), Stored: true}, r.Disk.Spool().LostPoll, err)
		}, Say: func() error {
			return contract.Errorf(contract.CodeBundleInvalid, "%s holds no bundle: %w", r.StatePaths().Spool, err)
		}})
	default:
		// The run was killed between the storing of an answer and its dropping:
		// there is no bundle in it. A pending one says that none was lost before.
		lost := r.Disk.Spool().LostPoll
		if verdict == managerclient.Pending {
			lost = nil
		}
		return true, r.Disk.RestorePoll(lost)
	}
	r.Identify(ctx)
	first, from := len(r.Result.Actions), install.SourceOf(*r.Disk.Spool())
	action := "put the bundle in place that an earlier run received (" + r.StatePaths().Spool + ")"
	return false, r.Perform(plan.Step{Do: func() error {
		err := r.unplaced(r.Provision(ctx, bundle, from))
		if err == nil || len(r.Result.Actions) > first {
			r.Result.Actions = slices.Insert(r.Result.Actions, first, action)
			r.Result.Changed = true
		}
		return err
	}, Say: func() error {
		r.Result.Changed = true
		r.Result.Act(action)
		return r.Provision(ctx, bundle, from)
	}})
}

// unplaced decides what becomes of a bundle that was not put in place.
func (r *run) unplaced(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, install.ErrKeep):
		return contract.Errorf(contract.CodeOf(err), "%w; the bundle is kept in %s", err, r.StatePaths().Spool).WithHint("%s", contract.HintOf(err))
	case contract.CodeOf(err) != contract.CodeBundleInvalid:
		return err
	default:
		return r.Reject(err)
	}
}
