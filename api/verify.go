package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

type validateKeyRequest struct {
	Body struct {
		Key   string `json:"key" minLength:"1" maxLength:"500" doc:"The plaintext of an API key."`
		Model string `json:"model" required:"false" maxLength:"500" doc:"What is to be called; left out: any model."`
	}
}

type validateKeyResponse struct{ Body keyVerdictBody }

// keyVerdictBody is what a key is good for. Of what is no key there is the verdict alone.
type keyVerdictBody struct {
	IsValid    bool       `json:"isValid" doc:"Whether a request may be made with the key now."`
	Reason     string     `json:"reason" example:"valid" doc:"Why, in one word."`
	Message    string     `json:"message,omitempty" doc:"Why not, in words for whoever holds the key."`
	RetryAt    *time.Time `json:"retryAt,omitempty" doc:"When it may be, where waiting helps."`
	KeyID      *uuid.UUID `json:"keyId,omitempty"`
	Name       string     `json:"name,omitempty"`
	KeyPrefix  string     `json:"keyPrefix,omitempty"`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty" doc:"Also when a rotation ends it, if that is sooner."`
	Owner      *keyOwner  `json:"owner,omitempty"`
	Team       *keyTeam   `json:"team,omitempty"`
	Models     []string   `json:"models,omitempty" doc:"That it may call."`
	Limits     *keyBounds `json:"limits,omitempty" doc:"Of the key as they are now: it may be throttled; what is left out is unlimited."`
	ModelQuota []keyQuota `json:"quota,omitempty" doc:"Of its owner's subscriptions to those models, each month."`
}

type keyOwner struct {
	ID       uuid.UUID `json:"id"`
	Username string    `json:"username"`
	Roles    []string  `json:"roles"`
	IsActive bool      `json:"isActive"`
}

type keyTeam struct {
	ID       uuid.UUID `json:"id"`
	Name     string    `json:"name"`
	IsMember bool      `json:"isMember" doc:"Whether the owner of the key is in it."`
	Models   []string  `json:"models" doc:"That its keys may call; none: all."`
	Limits   keyBounds `json:"limits"`
}

type keyBounds struct {
	MaxBudget      *models.USD      `json:"maxBudget,omitempty" doc:"In dollars."`
	BudgetDuration string           `json:"budgetDuration,omitempty"`
	TPM            *int64           `json:"tpmLimit,omitempty" doc:"Tokens a minute."`
	RPM            *int64           `json:"rpmLimit,omitempty" doc:"Requests a minute."`
	MaxParallel    *int64           `json:"maxParallelRequests,omitempty"`
	ModelTPM       map[string]int64 `json:"modelTpmLimit,omitempty"`
	ModelRPM       map[string]int64 `json:"modelRpmLimit,omitempty"`
	Exhausted      bool             `json:"exhausted,omitempty" doc:"The budget is used up."`
}

type keyQuota struct {
	Model     string    `json:"model"`
	Status    string    `json:"status" doc:"Of the subscription."`
	Requests  *int64    `json:"requests" doc:"Null: unlimited."`
	Tokens    *int64    `json:"tokens" doc:"Null: unlimited."`
	Exhausted bool      `json:"exhausted"`
	ResetAt   time.Time `json:"resetAt"`
}

// validateKey says what a key is good for. That a key is not is no failure of the request.
func (s *Server) validateKey(ctx context.Context, in *validateKeyRequest) (*validateKeyResponse, error) {
	k, v, err := s.Auth.APIKeys.Judge(ctx, in.Body.Key, in.Body.Model)
	if err != nil {
		return nil, err
	}
	if v.Allowed() {
		s.Auth.UsedKeys.Note(k.ID)
	}
	return &validateKeyResponse{newKeyVerdict(k, v)}, nil
}

func newKeyVerdict(k models.KeyCheck, v models.KeyVerdict) keyVerdictBody {
	out := keyVerdictBody{IsValid: v.Allowed(), Reason: string(v.Reason), Message: v.Words(), RetryAt: unlessZero(v.RetryAt)}
	if k.Owner == nil {
		return out
	}
	o := k.Owner
	out.KeyID, out.Name, out.KeyPrefix, out.ExpiresAt, out.Models = &k.ID, k.Name, k.Prefix, unlessZero(k.ExpiresAt), k.Models
	out.Owner = &keyOwner{o.ID, o.Username, o.Roles, o.Active}
	bounds := newKeyBounds(k.Limits)
	bounds.MaxParallel, bounds.ModelTPM, bounds.ModelRPM, bounds.Exhausted = k.MaxParallel, k.ModelTPM, k.ModelRPM, k.OverBudget(time.Now())
	out.Limits = &bounds
	if t := k.Team; t != nil {
		out.Team = &keyTeam{t.ID, t.Name, t.Member, t.Models, newKeyBounds(t.Limits)}
	}
	for _, p := range k.Plans() {
		out.ModelQuota = append(out.ModelQuota, keyQuota{p.ModelID, string(p.Status), p.Requests, p.Tokens, p.Exhausted, p.ResetAt})
	}
	return out
}

func newKeyBounds(l models.Limits) keyBounds {
	return keyBounds{MaxBudget: l.MaxBudget, BudgetDuration: l.BudgetDuration, TPM: l.TPM, RPM: l.RPM}
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
