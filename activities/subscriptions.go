package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Subscriptions moves subscriptions through their life.
type Subscriptions struct {
	Store           *store.Store
	CatalogueMaxAge time.Duration // how old LiteLLM's word on a model may be when somebody subscribes to it
	RemindAfter     time.Duration // how long a request waits before approvers are reminded of it
	LapseAfter      time.Duration // how long a request waits before it lapses
}

// ProvisionSubscriptionInput names a subscription, and who wants it.
type ProvisionSubscriptionInput struct {
	ID    uuid.UUID
	Actor models.Actor
}

// ProvisionSubscription makes a subscription active if that is wanted and nothing is lacking; if
// something is, it says what. Repeating it changes nothing.
func (a *Subscriptions) ProvisionSubscription(ctx context.Context, in ProvisionSubscriptionInput) (models.Provision, error) {
	return a.Store.ProvisionSubscription(ctx, in.ID, a.CatalogueMaxAge, in.Actor)
}

// RefuseSubscriptionInput says why what was wanted cannot be, in words for its owner.
type RefuseSubscriptionInput struct {
	ID    uuid.UUID
	Why   string
	Actor models.Actor
}

// RefuseSubscriptionResult is where the subscription ended up.
type RefuseSubscriptionResult struct{ Status models.SubscriptionStatus }

// RefuseSubscription ends the wish for a subscription. Where nothing is wanted any more, it
// changes nothing.
func (a *Subscriptions) RefuseSubscription(ctx context.Context, in RefuseSubscriptionInput) (RefuseSubscriptionResult, error) {
	sub, err := a.Store.RefuseSubscription(ctx, in.ID, in.Why, in.Actor)
	return RefuseSubscriptionResult{sub.Status}, err
}

// UnprovisionedSubscriptionsInput bounds the page.
type UnprovisionedSubscriptionsInput struct{ Limit int }

// UnprovisionedSubscriptionsResult is the page.
type UnprovisionedSubscriptionsResult struct{ IDs []uuid.UUID }

// UnprovisionedSubscriptions finds the subscriptions that are wanted but whose workflow was
// never started, or gave up.
func (a *Subscriptions) UnprovisionedSubscriptions(ctx context.Context, in UnprovisionedSubscriptionsInput) (UnprovisionedSubscriptionsResult, error) {
	ids, err := a.Store.UnprovisionedSubscriptions(ctx, overlooked, in.Limit)
	return UnprovisionedSubscriptionsResult{ids}, err
}
