package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/statedir"
)

// resume goes on with a request that was made by an earlier run.
func (r *run) resume(ctx context.Context) error {
	return r.Perform(plan.Step{
		Do:  func() error { return r.poll(ctx, r.LiveToken()) },
		Say: func() error { return r.foreseePoll(ctx, r.LiveToken()) },
	})
}

// poll asks for the request of a token; nil is the one in config.yaml.
func (r *run) poll(ctx context.Context, token *statedir.Token) error {
	client, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	r.Identify(ctx)
	if token == nil {
		if token, err = r.TakeOver(); err != nil {
			return err
		}
	}
	if err := r.Adopt(ctx); err != nil {
		return err
	}
	return r.hear(ctx, client, token)
}

func (r *run) foreseePoll(ctx context.Context, token *statedir.Token) error {
	if r.State == string(contract.StateRegistered) && token != nil {
		if r.Disk.NewToken() != nil {
			r.ForeseeMirror()
		}
		return r.Registered(token)
	}
	if _, err := r.prepare(ctx); err != nil {
		return err
	}
	r.Identify(ctx)
	if token == nil {
		r.Result.Act("take over the polling token from " + string(r.ConfigPath))
	}
	r.Result.Act("ask " + r.URL.String() + " for the state of the request")
	return r.ForeseeApproval(ctx)
}

// hear waits for what the manager decides, and goes on by it. Where the manager
// has turned the request down there may be a way all the same.
func (r *run) hear(ctx context.Context, client converse.ManagerClient, t *statedir.Token) error {
	a, why := r.Await(ctx, client, t)
	switch {
	case why == nil && a != nil && a.Bundle != nil:
		return r.approved(ctx, a)
	case errors.Is(why, converse.ErrFetched) && contract.CodeOf(why) == contract.CodeInternal:
		return r.AdoptSet(ctx, install.SourceOf(a.Answer).IP)
	case errors.Is(why, converse.ErrNeverOurs) && contract.CodeOf(why) == contract.CodeInternal:
		r.Result.Warn(fmt.Sprintf("the polling token that was found in %s is not known at %s and was never this host's: it is dropped, and a request is made", r.ConfigPath, r.URL))
		r.Result.PendingSince, r.Result.State = "", contract.StateAbsent
		return r.register(ctx)
	}
	return why
}

// register makes an enrollment request and goes on to wait for its approval.
func (r *run) register(ctx context.Context) error {
	r.WarnNoTokens()
	client, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	host, err := r.WhoAmI(ctx)
	if err != nil {
		return err
	}
	old := r.Doubtful()
	if r.State == string(contract.StateRegistered) {
		old = nil // this state asks for nothing
	}
	return r.Perform(plan.Step{
		Do: func() error { return r.request(ctx, client, host, old) },
		Say: func() error {
			if old != nil {
				r.Result.Act(fmt.Sprintf("ask %s once more for the state of the request of %s; where it is not known any more:", r.URL, old.Since.Format(time.RFC3339)))
			}
			r.ActRegister()
			return r.ForeseeApproval(ctx)
		},
	})
}

// request asks with the old token, if there is a doubtful one, and makes a new
// request where that is dead.
func (r *run) request(ctx context.Context, client converse.ManagerClient, host identity.Host, old *statedir.Token) error {
	if old != nil {
		// A firewall may have answered for the manager, and a new request would
		// replace one that is approved.
		r.Doubted = true
		if err := r.hear(ctx, client, old); !errors.Is(err, converse.ErrStillDead) {
			return err
		}
		r.Doubted, r.Result.State = false, contract.StateAbsent
	}
	r.Progress(converse.Progress{Phase: converse.PhaseRegister})
	token, err := r.Register(ctx, client, host)
	if err != nil {
		return err
	}
	return r.hear(ctx, client, token)
}

// prepare does all that can fail before the manager is asked.
func (r *run) prepare(ctx context.Context) (converse.ManagerClient, error) {
	client, err := r.Client()
	if err != nil {
		return nil, err
	}
	if err := r.Preflight(ctx, client.UsesProxy()); err != nil {
		return nil, err
	}
	if r.Insecure || r.URL.Scheme == "http" {
		r.Record(contract.EventInsecure, nil)
	}
	return client, nil
}
