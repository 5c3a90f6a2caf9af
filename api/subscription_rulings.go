package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

type approveRequest struct {
	Body struct {
		IDs    []uuid.UUID `json:"subscriptionIds" minItems:"1" maxItems:"100" format:"uuid"`
		Reason string      `json:"reason,omitempty" maxLength:"1000" pattern:"^[^\\x00]*$" patternDescription:"text"`
		AsOf   time.Time   `json:"asOf,omitzero" doc:"When the subscriptions were read: what another admin decided since is not overruled. Left out: now."`
	}
}

type denyRequest struct {
	Body struct {
		IDs    []uuid.UUID `json:"subscriptionIds" minItems:"1" maxItems:"100" format:"uuid"`
		Reason string      `json:"reason" minLength:"1" maxLength:"1000" pattern:"^[^\\x00]*$" patternDescription:"text"`
		AsOf   time.Time   `json:"asOf,omitzero" doc:"When the subscriptions were read: what another admin decided since is not overruled. Left out: now."`
	}
}

type rulingsResponse struct {
	Status int
	Body   struct {
		Successful int           `json:"successful" doc:"What was decided, settled or not."`
		Failed     int           `json:"failed"`
		Errors     []rulingError `json:"errors"`
		Unsettled  []uuid.UUID   `json:"unsettled" doc:"Decided, but LiteLLM was not yet seen to follow."`
	}
}

type rulingError struct {
	Subscription uuid.UUID `json:"subscription" format:"uuid"`
	Error        string    `json:"error"`
}

// ruled is a subscription that an admin decided on.
type ruled struct {
	sub     models.Subscription
	cascade models.Cascade
}

// decision is what an admin says about one subscription.
type decision func(id uuid.UUID, d models.Ruling) (models.Subscription, models.Cascade, error)

// approveSubscriptions approves what waits for an admin. An approval takes effect when LiteLLM
// knows the user.
func (s *Server) approveSubscriptions(ctx context.Context, in *approveRequest) (*rulingsResponse, error) {
	return s.rule(ctx, in.Body.IDs, ruling(ctx, in.Body.Reason, in.Body.AsOf), func(id uuid.UUID, d models.Ruling) (models.Subscription, models.Cascade, error) {
		sub, err := s.Store.ApproveSubscription(ctx, id, d, actor(ctx))
		return sub, models.Cascade{}, err
	})
}

// denySubscriptions denies what waits for an admin, and takes away what is active.
func (s *Server) denySubscriptions(ctx context.Context, in *denyRequest) (*rulingsResponse, error) {
	return s.rule(ctx, in.Body.IDs, ruling(ctx, in.Body.Reason, in.Body.AsOf), func(id uuid.UUID, d models.Ruling) (models.Subscription, models.Cascade, error) {
		return s.Store.DenySubscription(ctx, id, d, actor(ctx))
	})
}

// ruling is what an admin says, by what he saw.
func ruling(ctx context.Context, reason string, asOf time.Time) models.Ruling {
	came := requestOf(ctx).at
	if asOf.IsZero() || asOf.After(came) {
		asOf = came
	}
	return models.Ruling{Reason: reason, SeenAt: asOf}
}

// rule decides on each of several subscriptions, and has LiteLLM follow. That one cannot be
// decided keeps the others from nothing.
func (s *Server) rule(ctx context.Context, ids []uuid.UUID, d models.Ruling, decide decision) (*rulingsResponse, error) {
	out, until := &rulingsResponse{Status: http.StatusOK}, s.deadline(ctx)
	b := &out.Body
	b.Errors, b.Unsettled = []rulingError{}, []uuid.UUID{}
	refuse := func(id uuid.UUID, err error) {
		b.Failed++
		b.Errors = append(b.Errors, rulingError{id, s.excuse(ctx, err)})
	}
	var done []ruled
	for _, id := range distinct(ids) {
		sub, cascade, err := decide(id, d)
		if err == nil {
			done = append(done, ruled{sub, cascade})
			continue
		}
		refuse(id, err)
	}
	for i, err := range s.carryOutAll(ctx, done, until) {
		id := done[i].sub.ID
		if models.KindOf(err) == models.Conflict {
			refuse(id, err)
			continue
		}
		b.Successful++
		if err != nil {
			b.Unsettled, out.Status = append(b.Unsettled, id), http.StatusAccepted
		}
	}
	return out, nil
}

// excuse is why one of several things was not done, in words. What somebody may not do is in the
// audit log, as if he had asked for it alone.
func (s *Server) excuse(ctx context.Context, err error) string {
	if models.KindOf(err) == models.Forbidden {
		authenticator{s.Auth, s.Store}.refused(ctx, err)
	}
	return fail(ctx, err).Message
}

// carryOutAll is carryOut for several, and what it is for each.
func (s *Server) carryOutAll(ctx context.Context, done []ruled, until time.Time) []error {
	left := make([]error, len(done))
	each(ctx, len(done), until, func(start context.Context, i int) {
		left[i] = s.carryOut(ctx, start, &done[i], until)
	})
	return left
}

// carryOut has LiteLLM follow a decision. It is Pending while that is under way, and Conflict
// when LiteLLM refuses.
func (s *Server) carryOut(ctx, start context.Context, r *ruled, until time.Time) error {
	if r.sub.Settled() && r.cascade.Settled() {
		return nil
	}
	s.follow(start, r.sub, r.cascade, until)
	now, err := s.Store.Subscription(ctx, r.sub.ID)
	switch {
	case err != nil || !now.Settled():
		return models.Errorf(models.Pending, "LiteLLM was not yet seen to follow")
	case r.sub.Wanted != "" && refused(now.Status):
		return models.Errorf(models.Conflict, "it is %s: %s", now.Status, now.StatusReason)
	}
	return nil
}

// refused reports whether a subscription that was to be active is not, and will not be.
func refused(s models.SubscriptionStatus) bool {
	return s != models.SubscriptionActive && s != models.SubscriptionSuspended
}

// distinct is the list without what it names again.
func distinct[T comparable](list []T) []T {
	var out []T
	for _, item := range list {
		if !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

type revertRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		NewStatus models.SubscriptionStatus `json:"newStatus" enum:"active,denied,pending"`
		Reason    string                    `json:"reason,omitempty" maxLength:"1000" pattern:"^[^\\x00]*$" patternDescription:"text"`
		AsOf      time.Time                 `json:"asOf,omitzero" doc:"When the subscription was read: what another admin decided since is not overruled. Left out: now."`
	}
}

type adminSubscriptionResponse struct {
	Status int
	Body   adminSubscription
}

// revertSubscription takes a decision back, by putting another in its place.
func (s *Server) revertSubscription(ctx context.Context, in *revertRequest) (*adminSubscriptionResponse, error) {
	until := s.deadline(ctx)
	sub, cascade, err := s.Store.RevertSubscription(ctx, in.ID, in.Body.NewStatus, ruling(ctx, in.Body.Reason, in.Body.AsOf), actor(ctx))
	if !models.StepRevert.Leads(sub.Status, in.Body.NewStatus) {
		err = ofState(err)
	}
	if err != nil {
		return nil, err
	}
	s.follow(ctx, sub, cascade, until)
	return s.reverted(ctx, in.ID.String())
}

// reverted is the answer of revertSubscription, as the subscription stands now.
func (s *Server) reverted(ctx context.Context, id string) (*adminSubscriptionResponse, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return nil, err
	}
	v, err := s.Store.SubscriptionView(ctx, parsed)
	if err != nil {
		return nil, err
	}
	out := &adminSubscriptionResponse{http.StatusOK, newAdminSubscription(&v)}
	if !v.Settled() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}
