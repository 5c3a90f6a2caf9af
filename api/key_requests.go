package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// KeyWish is what can be asked of a key that is made or changed. It is exported for huma; see
// AuditFilter.
type KeyWish struct {
	ExpiresAt      optional[time.Time]                 `json:"expiresAt,omitzero" doc:"When it ends by itself; null: never."`
	MaxBudget      optional[models.USD]                `json:"maxBudget,omitzero" minimum:"0" maximum:"1000000000" doc:"In dollars; null: no limit of its own, but the maximum."`
	BudgetDuration optional[string]                    `json:"budgetDuration,omitzero" pattern:"^(daily|weekly|monthly|yearly|[1-9][0-9]{0,8}([smhd]|mo))$" patternDescription:"daily, weekly, monthly, yearly, or such as 12h, 30d or 1mo" doc:"After which the budget begins anew."`
	SoftBudget     optional[models.USD]                `json:"softBudget,omitzero" minimum:"0" maximum:"1000000000" doc:"In dollars; a warning, no limit."`
	TPM            optional[int64]                     `json:"tpmLimit,omitzero" minimum:"0" maximum:"9007199254740991" doc:"Tokens a minute."`
	RPM            optional[int64]                     `json:"rpmLimit,omitzero" minimum:"0" maximum:"9007199254740991" doc:"Requests a minute."`
	MaxParallel    optional[int64]                     `json:"maxParallelRequests,omitzero" minimum:"1" maximum:"9007199254740991" doc:"Requests at once."`
	ModelMaxBudget optional[map[string]keyModelBudget] `json:"modelMaxBudget,omitzero" doc:"Budgets of single models. We hold the key to them, as LiteLLM does so only with an Enterprise licence."`
	ModelRPM       optional[map[string]int64]          `json:"modelRpmLimit,omitzero" doc:"Requests a minute for single models."`
	ModelTPM       optional[map[string]int64]          `json:"modelTpmLimit,omitzero" doc:"Tokens a minute for single models."`
	Tags           optional[[]string]                  `json:"tags,omitzero" maxItems:"50"`
	Guardrails     optional[[]string]                  `json:"guardrails,omitzero" maxItems:"50"`
	Permissions    optional[map[string]bool]           `json:"permissions,omitzero"`
	Metadata       optional[map[string]any]            `json:"metadata,omitzero" doc:"Whatever its owner wants to note."`
}

// asked is the wish as the rules know it.
func (w *KeyWish) asked() (models.AskedKey, error) {
	a := models.AskedKey{
		AskedLimits: models.AskedLimits{
			MaxBudget: asked(w.MaxBudget), SoftBudget: asked(w.SoftBudget), TPM: asked(w.TPM), RPM: asked(w.RPM),
			BudgetDuration: asked(w.BudgetDuration), ExpiresAt: asked(w.ExpiresAt),
		},
		MaxParallel: asked(w.MaxParallel), ModelTPM: asked(w.ModelTPM), ModelRPM: asked(w.ModelRPM),
		Tags: asked(w.Tags), Guardrails: asked(w.Guardrails), Permissions: asked(w.Permissions),
		ModelMaxBudget: models.Asked[map[string]models.ModelBudget]{Named: w.ModelMaxBudget.sent},
		Metadata:       models.Asked[json.RawMessage]{Named: w.Metadata.sent},
	}
	if b := w.ModelMaxBudget.value; b != nil {
		budgets := make(map[string]models.ModelBudget, len(*b))
		for name, budget := range *b {
			budgets[name] = models.ModelBudget(budget)
		}
		a.ModelMaxBudget.Value = &budgets
	}
	if m := w.Metadata.value; m != nil {
		raw, err := noted(*m)
		if err != nil {
			return a, err
		}
		a.Metadata.Value = new(json.RawMessage(raw))
	}
	return a, w.checkTexts()
}

// checkTexts makes sure that the database holds what huma does not look into.
func (w *KeyWish) checkTexts() error {
	texts := map[string][]string{}
	for name, list := range map[string]*[]string{"tags": w.Tags.value, "guardrails": w.Guardrails.value} {
		if list != nil {
			texts[name] = *list
		}
	}
	names(texts, "modelMaxBudget", w.ModelMaxBudget.value)
	names(texts, "modelRpmLimit", w.ModelRPM.value)
	names(texts, "modelTpmLimit", w.ModelTPM.value)
	names(texts, "permissions", w.Permissions.value)
	for field, list := range texts {
		for _, text := range list {
			if !isText(text) || len(text) > 500 {
				return models.Errorf(models.Invalid, "must hold text, and not more than 500 bytes").On(field)
			}
		}
	}
	return nil
}

func names[T any](to map[string][]string, field string, of *map[string]T) {
	if of == nil {
		return
	}
	for name := range *of {
		to[field] = append(to[field], name)
	}
}

func asked[T any](o optional[T]) models.Asked[T] {
	return models.Asked[T]{Named: o.sent, Value: o.value}
}

type createKeyRequest struct {
	Body struct {
		Name           string     `json:"name,omitempty" minLength:"1" maxLength:"255" pattern:"^[^\\x00]*$" patternDescription:"text"`
		ModelIDs       []string   `json:"modelIds,omitempty" minItems:"1" maxItems:"100" minLength:"1" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"To each of which you have an active subscription."`
		SubscriptionID *uuid.UUID `json:"subscriptionId,omitempty" format:"uuid" doc:"Deprecated: instead of modelIds, the subscription to the only model."`
		TeamID         *uuid.UUID `json:"teamId,omitempty" format:"uuid" doc:"A team that you are in."`
		KeyWish
	}
}

// CreatedKey is a key with its secret. It is exported for huma; see AuditFilter.
type CreatedKey struct {
	KeyResponse
	Key string `json:"key" doc:"The secret. It is shown here, and by reveal, only."`
}

type createKeyResponse struct {
	Status      int
	Deprecation string `header:"X-API-Deprecation-Warning"`
	Guide       string `header:"X-API-Migration-Guide"`
	Body        CreatedKey
}

// createKey makes a key for the caller. It is 201 when LiteLLM holds it, 202 while it has yet to.
func (s *Server) createKey(ctx context.Context, in *createKeyRequest) (*createKeyResponse, error) {
	b, until, me := &in.Body, s.deadline(ctx), requestOf(ctx).caller.UserID
	if len(b.ModelIDs) == 0 && b.SubscriptionID == nil {
		return nil, models.Errorf(models.Invalid, "must have required property 'modelIds'").On("modelIds")
	}
	ask, err := b.asked()
	if err != nil {
		return nil, err
	}
	ask.Models = b.ModelIDs
	if b.Name != "" {
		ask.Name = &b.Name
	}
	bounds, err := s.Store.KeyDefaults(ctx)
	if err != nil {
		return nil, err
	}
	k, err := s.issue(ctx, me, ask, bounds, func(k *models.Key) error {
		k.TeamID, k.Terms.SubscriptionID = b.TeamID, b.SubscriptionID
		return s.Store.IssueKey(ctx, k, false, actor(ctx))
	})
	if err != nil {
		return nil, noSubscription(ctx, err)
	}
	if err := s.settleNew(ctx, k, until); err != nil {
		return nil, err
	}
	return s.createdKey(ctx, me, k.ID)
}

// issue mints a key and has it stored. An alias that is another's by chance is drawn again.
func (s *Server) issue(ctx context.Context, userID uuid.UUID, ask models.AskedKey, bounds models.KeyDefaults, store func(*models.Key) error) (models.Key, error) {
	const tries = 3
	for i := 1; ; i++ {
		k, err := ask.New(uuid.New(), userID, bounds, requestOf(ctx).at)
		if err != nil {
			return k, err
		}
		secret, err := models.NewSecret(rand.Reader)
		if err != nil {
			return k, err
		}
		if k, err = k.Holding(secret, s.Sealer); err != nil {
			return k, err
		}
		if err = store(&k); models.KindOf(err) != models.Conflict || i == tries {
			return k, err
		}
	}
}

// createdKey is the answer to whoever made a key, from its row alone: so it can be given again.
func (s *Server) createdKey(ctx context.Context, userID, id uuid.UUID) (*createKeyResponse, error) {
	v, err := s.Store.UserKey(ctx, userID, id)
	if err != nil {
		return nil, err
	}
	secret, err := v.Secret(s.Sealer)
	if err != nil {
		return nil, err
	}
	out := &createKeyResponse{Status: http.StatusCreated, Body: CreatedKey{newKey(&v), secret.Reveal()}}
	if v.ObservedGeneration == 0 {
		out.Status = http.StatusAccepted
	}
	if v.Terms.SubscriptionID != nil {
		out.Deprecation = "subscriptionId parameter is deprecated. Use modelIds array instead."
		out.Guide = "See /docs for how to ask for a key with modelIds."
	}
	return out, nil
}

// recreated is createdKey once more, of the key that an operation made.
func (s *Server) recreated(ctx context.Context, id string) (*createKeyResponse, error) {
	k, err := s.subjectKey(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.createdKey(ctx, k.UserID, k.ID)
}

// subjectKey is a key that an operation is about, by its id there.
func (s *Server) subjectKey(ctx context.Context, id string) (models.Key, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return models.Key{}, err
	}
	return s.Store.Key(ctx, parsed)
}

// noSubscription says as LiteMaaS does what to do about a model that one is not subscribed to.
func noSubscription(ctx context.Context, err error) error {
	e, ok := errors.AsType[*models.Error](err)
	if !ok || e.Field != "modelIds" {
		return err
	}
	p := fail(ctx, err)
	p.Details.Suggestion = "Please ensure you have active subscriptions for all selected models"
	p.Envelope.Details = p.Details
	return p
}

type updateKeyRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body KeyChange
}

// KeyChange is a change of a key. It is exported for huma; see AuditFilter.
type KeyChange struct {
	Name     *string  `json:"name,omitempty" minLength:"1" maxLength:"255" pattern:"^[^\\x00]*$" patternDescription:"text"`
	ModelIDs []string `json:"modelIds,omitempty" minItems:"1" maxItems:"100" minLength:"1" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text"`
	KeyWish
}

// updateKey changes a key of the caller's. It is 200 when LiteLLM holds it so.
func (s *Server) updateKey(ctx context.Context, in *updateKeyRequest) (*keyResponse, error) {
	bounds, err := s.Store.KeyDefaults(ctx)
	if err != nil {
		return nil, err
	}
	return s.changeKey(ctx, &in.Body, store.KeyEdit{UserID: requestOf(ctx).caller.UserID, ID: in.ID, Bounds: bounds})
}

func (s *Server) changeKey(ctx context.Context, b *KeyChange, e store.KeyEdit) (*keyResponse, error) {
	until := s.deadline(ctx)
	ask, err := b.asked()
	if err != nil {
		return nil, err
	}
	ask.Name, ask.Models = b.Name, b.ModelIDs
	e.Ask = ask
	k, err := s.Store.ChangeKey(ctx, e, actor(ctx))
	if err != nil {
		return nil, noSubscription(ctx, err)
	}
	if ask.Budgets() {
		if err := s.judgeOf(ctx, models.BudgetOfKey, k.ID, until); err != nil {
			return nil, err
		}
	}
	if err := s.followKey(ctx, k, until); err != nil {
		return nil, err
	}
	return s.keyAsItStands(ctx, e.UserID, e.ID)
}

// keyAsItStands is a key after a request: 202 while LiteLLM has yet to hold it so.
func (s *Server) keyAsItStands(ctx context.Context, userID, id uuid.UUID) (*keyResponse, error) {
	v, err := s.Store.UserKey(ctx, userID, id)
	if err != nil {
		return nil, err
	}
	out := &keyResponse{http.StatusOK, newKey(&v)}
	if !v.Settled() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

type deleteKeyResponse struct {
	Status int
	Body   struct {
		Message   string           `json:"message"`
		DeletedAt time.Time        `json:"deletedAt"`
		Status    models.KeyStatus `json:"status" enum:"revoked,revoking" doc:"revoking: LiteLLM was not yet seen to refuse it."`
	}
}

// deleteKey revokes a key of the caller's and takes it out of his list. It is 200 when LiteLLM was
// seen to refuse it, 202 while it may still take it.
func (s *Server) deleteKey(ctx context.Context, in *keyRequest) (*deleteKeyResponse, error) {
	k, err := s.endKey(ctx, store.KeyEnd{UserID: requestOf(ctx).caller.UserID, ID: in.ID, Why: "Deleted by its owner", Delete: true})
	if err != nil {
		return nil, err
	}
	out := &deleteKeyResponse{Status: http.StatusOK}
	out.Body.Message, out.Body.Status = "API key deleted successfully", k.Status()
	if k.DeletedAt != nil {
		out.Body.DeletedAt = k.DeletedAt.UTC()
	}
	if out.Body.Status != models.KeyRevoked {
		out.Status, out.Body.Message = http.StatusAccepted, "API key deleted; LiteLLM was not yet seen to refuse it"
	}
	return out, nil
}

// endKey revokes a key, and returns it as LiteLLM was then seen to have it.
func (s *Server) endKey(ctx context.Context, e store.KeyEnd) (models.Key, error) {
	until := s.deadline(ctx)
	k, err := s.Store.EndKey(ctx, e, actor(ctx))
	if err != nil {
		return k, err
	}
	if err := s.followKey(ctx, k, until); err != nil {
		return k, err
	}
	return s.Store.Key(ctx, k.ID)
}

type resetSpendResponse struct {
	Status int
	Body   struct {
		ID           uuid.UUID  `json:"id" format:"uuid"`
		CurrentSpend models.USD `json:"currentSpend"`
		ResetAt      time.Time  `json:"resetAt"`
	}
}

// resetKeySpend lets owners reset what their keys spent, where an operator allows it.
func (s *Server) resetKeySpend(ctx context.Context, in *keyRequest) (*resetSpendResponse, error) {
	me := requestOf(ctx).caller.UserID
	if _, err := s.Store.UserKey(ctx, me, in.ID); err != nil {
		return nil, err
	}
	if !s.Config.OwnersResetSpend {
		return nil, models.Errorf(models.Forbidden, "Access denied. Only an admin resets what a key has spent")
	}
	return s.resetSpend(ctx, me, in.ID, false)
}

func (s *Server) resetSpend(ctx context.Context, userID, id uuid.UUID, admin bool) (*resetSpendResponse, error) {
	until := s.deadline(ctx)
	k, err := s.Store.ResetKeySpend(ctx, userID, id, admin, actor(ctx))
	if err != nil {
		return nil, err
	}
	if err := s.judgeOf(ctx, models.BudgetOfKey, id, until); err != nil {
		return nil, err
	}
	if err := s.followKey(ctx, k, until); err != nil {
		return nil, err
	}
	now, err := s.Store.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &resetSpendResponse{Status: http.StatusOK}
	out.Body.ID, out.Body.CurrentSpend, out.Body.ResetAt = id, now.Spend, k.UpdatedAt.UTC()
	if now.Resets() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}
