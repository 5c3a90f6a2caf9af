package models_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// good is what a key of somebody who may everything is judged by; edit changes it.
func good(edit func(*models.KeyCheck)) models.KeyCheck {
	active := func(model string) models.KeyPlan {
		return models.KeyPlan{ModelID: model, Status: models.SubscriptionActive, ResetAt: checkedAt.Add(time.Hour)}
	}
	k := models.KeyCheck{
		ID: uuid.New(), Models: []string{"gpt", "llama"},
		Owner: &models.KeyOwner{Active: true, Permitted: true, Subscriptions: []models.KeyPlan{active("gpt"), active("llama"), active("qwen")}},
		Team:  &models.KeyTeam{Member: true},
	}
	if edit != nil {
		edit(&k)
	}
	return k
}

var checkedAt = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// spent is a key of which budgets are used up.
func spent(budgets ...models.KeyBudget) func(*models.KeyCheck) {
	return func(k *models.KeyCheck) { k.Spent = budgets }
}

// Each reason against a request, and what is told of it.
func TestJudgeKey(t *testing.T) {
	reset := checkedAt.Add(time.Hour)
	for name, tc := range map[string]struct {
		edit  func(*models.KeyCheck)
		model string
		want  models.KeyReason
		kind  models.Kind // empty: it may
		retry time.Time
	}{
		"a model of its own":       {nil, "gpt", models.KeyIsValid, "", time.Time{}},
		"no model in particular":   {nil, "", models.KeyIsValid, "", time.Time{}},
		"no team":                  {func(k *models.KeyCheck) { k.Team = nil }, "gpt", models.KeyIsValid, "", time.Time{}},
		"revoked":                  {func(k *models.KeyCheck) { k.Revoked = true }, "gpt", models.KeyIsRevoked, models.Unauthenticated, time.Time{}},
		"revoked by the clock":     {func(k *models.KeyCheck) { k.Revoked, k.Lapsed = true, true }, "gpt", models.KeyIsExpired, models.Unauthenticated, time.Time{}},
		"expires just now":         {func(k *models.KeyCheck) { k.ExpiresAt = checkedAt }, "gpt", models.KeyIsExpired, models.Unauthenticated, time.Time{}},
		"expires in a moment":      {func(k *models.KeyCheck) { k.ExpiresAt = checkedAt.Add(1) }, "gpt", models.KeyIsValid, "", time.Time{}},
		"never made at LiteLLM":    {func(k *models.KeyCheck) { k.Refused = true }, "gpt", models.KeyIsRefused, models.Unauthenticated, time.Time{}},
		"its owner is deactivated": {func(k *models.KeyCheck) { k.Owner.Active = false }, "gpt", models.KeyOwnerInactive, models.Unauthenticated, time.Time{}},
		"held":                     {func(k *models.KeyCheck) { k.Held = true }, "gpt", models.KeyIsHeld, models.Forbidden, time.Time{}},
		"its owner has no role":    {func(k *models.KeyCheck) { k.Owner.Permitted = false }, "gpt", models.KeyNotPermitted, models.Forbidden, time.Time{}},
		"its owner left the team":  {func(k *models.KeyCheck) { k.Team.Member = false }, "gpt", models.KeyNotInTeam, models.Forbidden, time.Time{}},
		"its budget is of nothing": {spent(models.KeyBudget{}), "gpt", models.KeyOverBudget, models.Limited, time.Time{}},
		"its budget is used up":    {spent(models.KeyBudget{Until: &reset}), "gpt", models.KeyOverBudget, models.Limited, reset},
		"two budgets are used up": {
			spent(models.KeyBudget{Until: &reset}, models.KeyBudget{Until: new(checkedAt.Add(time.Minute))}), "gpt", models.KeyOverBudget, models.Limited, reset,
		},
		"one of two begins anew never": {spent(models.KeyBudget{Until: &reset}, models.KeyBudget{}), "", models.KeyOverBudget, models.Limited, time.Time{}},
		"its budget begins anew now":   {spent(models.KeyBudget{Until: &checkedAt}), "gpt", models.KeyIsValid, "", time.Time{}},
		"the model's budget is used up": {
			spent(models.KeyBudget{ModelID: "gpt", Until: &reset}), "gpt", models.KeyOverBudget, models.Limited, reset,
		},
		"which took it off the key": {
			func(k *models.KeyCheck) {
				spent(models.KeyBudget{ModelID: "gpt", Until: &reset})(k)
				k.Models = k.Models[1:]
			}, "gpt", models.KeyOverBudget, models.Limited, reset,
		},
		"another model's budget is used up": {spent(models.KeyBudget{ModelID: "gpt"}), "llama", models.KeyIsValid, "", time.Time{}},
		"another model is left":             {spent(models.KeyBudget{ModelID: "gpt"}), "", models.KeyIsValid, "", time.Time{}},
		"no model is left": {
			spent(models.KeyBudget{ModelID: "gpt", Until: &reset}, models.KeyBudget{ModelID: "llama"}), "", models.KeyOverBudget, models.Limited, reset,
		},
		"a model of its owner alone": {nil, "qwen", models.KeyNotForModel, models.Forbidden, time.Time{}},
		"a model of nobody":          {nil, "none", models.KeyNotForModel, models.Forbidden, time.Time{}},
		"no models":                  {func(k *models.KeyCheck) { k.Models = nil }, "", models.KeyIsHeld, models.Forbidden, time.Time{}},
		"no subscription": {
			func(k *models.KeyCheck) { k.Owner.Subscriptions = k.Owner.Subscriptions[1:] }, "gpt", models.KeyNotSubscribed, models.Forbidden, time.Time{},
		},
		"another subscription is enough for none in particular": {
			func(k *models.KeyCheck) { k.Owner.Subscriptions = k.Owner.Subscriptions[1:] }, "", models.KeyIsValid, "", time.Time{},
		},
		"suspended": {
			func(k *models.KeyCheck) { k.Owner.Subscriptions[0].Status = models.SubscriptionSuspended }, "gpt", models.KeyNotSubscribed, models.Forbidden, time.Time{},
		},
		"suspended for its quota": {
			func(k *models.KeyCheck) {
				k.Models, k.Owner.Subscriptions[0].Status, k.Owner.Subscriptions[0].OverQuota = k.Models[1:], models.SubscriptionSuspended, true
			}, "gpt", models.KeyOverQuota, models.Limited, reset,
		},
		"its quota is used up": {
			func(k *models.KeyCheck) { k.Owner.Subscriptions[0].Exhausted = true }, "gpt", models.KeyOverQuota, models.Limited, reset,
		},
		"its quota was used up last month": {
			func(k *models.KeyCheck) {
				k.Owner.Subscriptions[0].Exhausted, k.Owner.Subscriptions[0].ResetAt = true, checkedAt
			}, "gpt", models.KeyIsValid, "", time.Time{},
		},
		"the subscription has expired": {
			func(k *models.KeyCheck) { k.Owner.Subscriptions[0].ExpiresAt = &checkedAt }, "gpt", models.KeyNotSubscribed, models.Forbidden, time.Time{},
		},
		"the team may call it":     {func(k *models.KeyCheck) { k.Team.Models = []string{"x", "gpt"} }, "gpt", models.KeyIsValid, "", time.Time{}},
		"the team may not call it": {func(k *models.KeyCheck) { k.Team.Models = []string{"x"} }, "gpt", models.KeyNotForTeam, models.Forbidden, time.Time{}},
		"the team may call none":   {func(k *models.KeyCheck) { k.Team.Models = []string{"x"} }, "", models.KeyNotForTeam, models.Forbidden, time.Time{}},
		"what is first is told":    {func(k *models.KeyCheck) { k.Revoked, k.Held, k.Spent = true, true, []models.KeyBudget{{}} }, "none", models.KeyIsRevoked, models.Unauthenticated, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := good(tc.edit).Judge(tc.model, checkedAt)
			require.Equal(t, models.KeyVerdict{Reason: tc.want, RetryAt: tc.retry}, v)
			require.Equal(t, tc.kind == "", v.Allowed())
			if tc.kind == "" {
				require.NoError(t, v.Err(checkedAt))
				require.Empty(t, v.Words())
				return
			}
			err := v.Err(checkedAt)
			require.Equal(t, tc.kind, models.KindOf(err))
			require.EqualError(t, err, v.Words())
			if !tc.retry.IsZero() {
				var e *models.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, time.Hour, e.RetryAfter)
			}
		})
	}
}

// A key tells of the subscriptions that its own models rest on.
func TestPlansOfKey(t *testing.T) {
	k := good(func(k *models.KeyCheck) { k.Models = []string{"gpt", "none"} })
	require.Equal(t, k.Owner.Subscriptions[:1], k.Plans())
}

// What cannot be a key is not looked for.
func TestLikeKey(t *testing.T) {
	for text, want := range map[string]bool{
		"sk-bcWnfLKaEkm8t2gtuPBEBw": true, "sk-9a115e8bc4599393c8f4ba924c335a1edee144f67f835c33901ea7849e37c119": true,
		"": false, "sk-": false, "sk-short": false, "ltm_admin_0123456789abcdef": false, "eyJhbGciOiJub25lIn0.e30.": false,
		"sk-" + string(make([]byte, 300)): false,
	} {
		require.Equal(t, want, models.LikeKey(text), "%q", text)
	}
}
