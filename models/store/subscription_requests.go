package store

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// NewSubscription is what its owner, or an admin for him, asks for.
type NewSubscription struct {
	UserID                     uuid.UUID
	ModelID                    string
	QuotaRequests, QuotaTokens *int64 // nil: the default for an owner; unlimited when an admin made it
	ExpiresAt                  *time.Time
	Metadata                   []byte // a JSON object; nil: an empty one
	Approved                   bool   // an admin made it: no approval is needed, a denial ends. For himself, he only asks
}

// check reports what is wrong with what is asked for; the error is Invalid and names the field.
// It fills in the defaults.
func (n *NewSubscription) check() error {
	if !n.Approved {
		n.QuotaRequests = cmp.Or(n.QuotaRequests, new(int64(models.DefaultQuotaRequests)))
		n.QuotaTokens = cmp.Or(n.QuotaTokens, new(int64(models.DefaultQuotaTokens)))
	}
	if n.Metadata == nil {
		n.Metadata = []byte("{}")
	}
	if err := checkQuota("quotaRequests", n.QuotaRequests, models.MaxQuotaRequests, n.Approved); err != nil {
		return err
	}
	if err := checkQuota("quotaTokens", n.QuotaTokens, models.MaxQuotaTokens, n.Approved); err != nil {
		return err
	}
	return checkExpiry(n.ExpiresAt)
}

// checkQuota holds a quota against its bounds: an admin's have no upper one.
func checkQuota(field string, quota *int64, most int64, admin bool) error {
	switch {
	case quota == nil:
		return nil
	case *quota <= 0:
		return models.Errorf(models.Invalid, "a quota must be more than zero").On(field)
	case *quota > most && !admin:
		return models.Errorf(models.Invalid, "a quota of more than %d is for an admin to give", most).On(field)
	}
	return nil
}

func checkExpiry(at *time.Time) error {
	if at != nil && !at.After(time.Now()) {
		return models.Errorf(models.Invalid, "the time of expiry has passed").On("expiresAt")
	}
	return nil
}

// RequestSubscription records the wish for a subscription: a new row, or the one that its owner
// once gave up, with new quotas and the use of the month that it has. It is wanted active, for
// ProvisionSubscription to make it so; or it waits for an admin, when the model is restricted or
// a denial stands. It is NotFound for an unknown model or user, Invalid for one that LiteLLM does
// not offer now, Forbidden for who is not active, and Conflict when there is one already.
func (s *Store) RequestSubscription(ctx context.Context, in NewSubscription, by models.Actor) (models.Subscription, error) {
	var sub models.Subscription
	if err := in.check(); err != nil {
		return sub, err
	}
	in.Approved = in.Approved && by.ID != in.UserID.String() // nobody decides for himself
	err := s.InTx(ctx, func(tx *Store) error {
		restricted, err := tx.open(ctx, in.ModelID, in.UserID)
		if err != nil {
			return err
		}
		wish := models.SubscriptionActive
		if restricted && !in.Approved {
			wish = ""
		}
		id, err := tx.insertSubscription(ctx, in, wish, by)
		if err != nil {
			return err
		}
		if id == uuid.Nil {
			if id, wish, err = tx.renew(ctx, in, wish, by); err != nil {
				return err
			}
		}
		if sub, err = tx.Subscription(ctx, id); err != nil || wish != "" {
			return err
		}
		return tx.announce(ctx, announcement(models.SubscriptionRequested, id, in.UserID, map[string]any{"modelId": in.ModelID}))
	})
	return sub, err
}

// open makes sure that a user may ask for a model, which both stay as they are until the
// transaction ends, and says whether the model is restricted.
func (s *Store) open(ctx context.Context, modelID string, userID uuid.UUID) (restricted bool, err error) {
	var rows []struct {
		Availability     models.Availability
		RestrictedAccess bool
		IsActive         bool
	}
	err = s.scan(ctx, "model", &rows, `
		SELECT m.availability, m.restricted_access, u.is_active FROM models m, users u
		WHERE m.id = ? AND m.deleted_at IS NULL AND u.id = ? FOR SHARE OF m, u`, modelID, userID)
	if err != nil {
		return false, err
	}
	if len(rows) == 0 {
		if _, err := s.User(ctx, userID); err != nil {
			return false, err
		}
		return false, models.Errorf(models.NotFound, "model %s not found", modelID).On("modelId")
	}
	switch r := rows[0]; {
	case !r.IsActive:
		return false, models.Errorf(models.Forbidden, "the user is not active")
	case r.Availability != models.ModelAvailable:
		return false, models.Errorf(models.Invalid, "model %s is not available now", modelID).On("modelId")
	default:
		return r.RestrictedAccess, nil
	}
}

// insertSubscription makes the row, with its history; uuid.Nil when there is one. Of many at
// once, one makes it, and the others wait to see that it did.
func (s *Store) insertSubscription(ctx context.Context, in NewSubscription, wish models.SubscriptionStatus, by models.Actor) (uuid.UUID, error) {
	id := uuid.New()
	n := 0
	err := s.scan(ctx, "subscription", &n, `
		WITH made AS (
			INSERT INTO subscriptions (id, user_id, model_id, status, status_changed_at, status_changed_by, wanted, wanted_at, wanted_by,
			                           quota_requests, quota_tokens, reset_at, expires_at, metadata)
			VALUES (@id, @user, @model, 'pending', clock_timestamp(), @doer, @wish, CASE WHEN @wish <> '' THEN clock_timestamp() END,
			        CASE WHEN @wish <> '' THEN @doer ELSE '' END, @requests, @tokens, @reset, @expires, CAST(@metadata AS jsonb))
			ON CONFLICT (user_id, model_id) DO NOTHING RETURNING id, status, status_changed_at
		), history AS (
			INSERT INTO subscription_status_history (subscription_id, new_status, reason, changed_by, changed_at)
			SELECT id, status, '', @doer, status_changed_at FROM made
		)
		SELECT count(*) FROM made`, in.args(map[string]any{
		"id": id, "doer": in.doer(by), "wish": wish, "reset": models.QuotaReset(time.Now()),
	}))
	if err != nil || n == 0 {
		return uuid.Nil, err
	}
	return id, s.Audit(ctx, by, models.Event{
		Action: models.AuditSubscriptionCreate, ResourceType: models.AuditOfSubscription, ResourceID: id.String(),
		Detail: map[string]any{"userId": in.UserID, "modelId": in.ModelID, "approved": in.Approved, "wanted": wish},
		After: map[string]any{
			"status": models.SubscriptionPending, "quotaRequests": in.QuotaRequests, "quotaTokens": in.QuotaTokens, "expiresAt": in.ExpiresAt,
		},
	})
}

// doer is whose wish it is: an admin's only when he approves by it.
func (n NewSubscription) doer(by models.Actor) string {
	if n.Approved {
		return by.ID
	}
	return n.UserID.String()
}

// args are what is asked for, as arguments of SQL, beside others.
func (n NewSubscription) args(args map[string]any) map[string]any {
	args["user"], args["model"], args["metadata"] = n.UserID, n.ModelID, string(n.Metadata)
	args["requests"], args["tokens"], args["expires"] = n.QuotaRequests, n.QuotaTokens, n.ExpiresAt
	return args
}

// renew asks again for a subscription that has ended. What was used in this month stays used. A
// denial that stands turns the wish into a question.
func (s *Store) renew(ctx context.Context, in NewSubscription, wish models.SubscriptionStatus, by models.Actor) (uuid.UUID, models.SubscriptionStatus, error) {
	old, err := s.lockedSubscription(ctx, "s.user_id = ? AND s.model_id = ?", in.UserID, in.ModelID)
	if err != nil {
		return old.ID, "", err
	}
	if !models.StepRenew.Leads(old.Status, models.SubscriptionPending) {
		return old.ID, "", models.Errorf(models.Conflict, "there is a subscription to %s already, and it is %s", in.ModelID, old.Status).On("modelId")
	}
	m := move{
		step: models.StepRenew, to: models.SubscriptionPending, by: by, doer: in.doer(by), wish: wish, args: in.args(map[string]any{"reset": models.QuotaReset(time.Now())}),
		set: `quota_requests = @requests, quota_tokens = @tokens, expires_at = @expires, metadata = CAST(@metadata AS jsonb),
		      requested_at = now(), reminded_at = NULL, noticed_days = NULL,
		      used_requests = CASE WHEN reset_at < @reset THEN 0 ELSE used_requests END,
		      used_tokens = CASE WHEN reset_at < @reset THEN 0 ELSE used_tokens END, reset_at = greatest(reset_at, @reset)`,
	}
	if old.DeniedAt != nil && !in.Approved {
		m.wish = ""
	}
	if m.wish == "" {
		m.action = models.AuditSubscriptionReapply
	}
	return old.ID, m.wish, s.moveOne(ctx, m, old.ID)
}

// ReviewSubscription asks an admin to look at a denied subscription of that user again. It does
// nothing for one that is pending, and is Conflict for any other, NotFound if it is not his.
func (s *Store) ReviewSubscription(ctx context.Context, userID, id uuid.UUID, by models.Actor) (models.Subscription, error) {
	var sub models.Subscription
	err := s.InTx(ctx, func(tx *Store) error {
		var err error
		sub, err = tx.lockedSubscription(ctx, "s.id = ? AND s.user_id = ?", id, userID)
		switch {
		case err != nil || sub.Status == models.SubscriptionPending:
			return err
		case !models.StepReview.Leads(sub.Status, models.SubscriptionPending):
			return models.Errorf(models.Conflict, "only a denied subscription is looked at again, and it is %s", sub.Status)
		}
		m := move{step: models.StepReview, to: models.SubscriptionPending, by: by, set: "requested_at = now(), reminded_at = NULL"}
		if err := tx.moveOne(ctx, m, id); err != nil {
			return err
		}
		sub, err = tx.Subscription(ctx, id)
		return err
	})
	return sub, err
}

// CancelSubscription ends a subscription of that user, who gives it up. A denial stands. It is
// NotFound if it is not his, and Conflict when it has ended.
func (s *Store) CancelSubscription(ctx context.Context, userID, id uuid.UUID, by models.Actor) (models.Subscription, models.Cascade, error) {
	var sub models.Subscription
	var c models.Cascade
	err := s.InTx(ctx, func(tx *Store) error {
		var err error
		sub, err = tx.lockedSubscription(ctx, "s.id = ? AND s.user_id = ?", id, userID)
		switch {
		case err != nil:
			return err
		case !models.StepCancel.Leads(sub.Status, models.SubscriptionInactive):
			return models.Errorf(models.Conflict, "the subscription has ended already: it is %s", sub.Status)
		}
		m := move{step: models.StepCancel, to: models.SubscriptionInactive, reason: "Cancelled by its owner", by: by}
		if c, err = tx.end(ctx, models.CauseCancelled, m, sub); err != nil {
			return err
		}
		sub, err = tx.Subscription(ctx, id)
		return err
	})
	return sub, c, err
}
