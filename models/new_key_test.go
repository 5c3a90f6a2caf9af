package models_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// An alias holds what LiteLLM and people can read of a name, and a part of the id.
func TestKeyAlias(t *testing.T) {
	id := uuid.MustParse("0123abcd-0000-4000-8000-000000000000")
	for name, want := range map[string]string{
		"My CI":                  "My-CI",
		"a_b-c":                  "a_b-c",
		"  -- x!!y --  ":         "x-y",
		"ключ":                   "api-key",
		"":                       "api-key",
		"___":                    "___",
		strings.Repeat("ab", 99): strings.Repeat("ab", 25),
	} {
		require.Equal(t, want+"_0123abcd", models.KeyAlias(name, id), name)
	}
}

// What is asked for is what a key gets, once it has been judged; what is left out stays.
func TestAskedKey(t *testing.T) {
	now, id, owner := time.Now(), uuid.New(), uuid.New()
	bounds := models.KeyDefaults{
		Defaults: models.KeyLimitDefaults{MaxBudget: new(models.Dollar), BudgetDuration: new("monthly"), SoftBudget: new(models.USD(5)), ExpirationDays: new(2)},
		Maximums: models.KeyLimitMaximums{TPM: new(int64(10))},
	}
	k, err := models.AskedKey{Models: []string{"b", "a", "b"}, Tags: asked([]string{"x"}), Metadata: asked(json.RawMessage(`{"a": 1}`))}.New(id, owner, bounds, now)
	require.NoError(t, err)
	require.Equal(t, models.Key{
		ID: id, UserID: owner, Name: "api-key", Alias: "api-key_" + id.String()[:8], Models: []string{"a", "b"},
		Limits:   models.Limits{MaxBudget: new(models.Dollar), BudgetDuration: "monthly", TPM: new(int64(10))},
		Terms:    models.KeyTerms{SoftBudget: new(models.USD(5)), Tags: []string{"x"}},
		Metadata: json.RawMessage(`{"a": 1}`), ExpiresAt: new(now.Add(48 * time.Hour)),
	}, k)
	same, err := models.AskedKey{}.Change(k, bounds, now)
	require.NoError(t, err)
	require.Equal(t, k, same)
	other, err := models.AskedKey{
		Name: new(" new "), Models: []string{"c"}, AskedLimits: models.AskedLimits{MaxBudget: models.Asked[models.USD]{Named: true}, TPM: models.Asked[int64]{Named: true}},
		Tags: models.Asked[[]string]{Named: true}, ModelRPM: asked(map[string]int64{"c": 0}), MaxParallel: asked(int64(1)),
	}.Change(k, bounds, now)
	require.NoError(t, err)
	require.Equal(t, []any{"new", k.Alias, []string{"c"}}, []any{other.Name, other.Alias, other.Models})
	require.Nil(t, other.Limits.MaxBudget)
	require.EqualValues(t, 10, *other.Limits.TPM, "null does not escape a maximum")
	require.Nil(t, other.Terms.Tags)
	require.Equal(t, map[string]int64{"c": 0}, other.ModelRPM)
}

// What cannot be is refused, for a new key and for a changed one, and names the field.
func TestAskedKeyRefusals(t *testing.T) {
	now := time.Now()
	limits := func(l models.AskedLimits) models.AskedKey { return models.AskedKey{AskedLimits: l} }
	many := map[string]int64{}
	for range 101 {
		many[uuid.NewString()] = 1
	}
	for field, ask := range map[string]models.AskedKey{
		"name":                          {Name: new(" ")},
		"modelIds":                      {Models: []string{}},
		"expiresAt":                     limits(models.AskedLimits{ExpiresAt: asked(now)}),
		"maxBudget":                     limits(models.AskedLimits{MaxBudget: asked(models.USD(-1))}),
		"softBudget":                    limits(models.AskedLimits{SoftBudget: asked(models.USD(-1))}),
		"tpmLimit":                      limits(models.AskedLimits{TPM: asked(int64(-1))}),
		"rpmLimit":                      limits(models.AskedLimits{RPM: asked(int64(-1))}),
		"budgetDuration":                limits(models.AskedLimits{BudgetDuration: asked("fortnight")}),
		"maxParallelRequests":           {MaxParallel: asked(int64(0))},
		"modelTpmLimit.a":               {ModelTPM: asked(map[string]int64{"a": -1})},
		"modelRpmLimit.a":               {ModelRPM: asked(map[string]int64{"a": 1 << 53})},
		"modelRpmLimit":                 {ModelRPM: asked(many)},
		"modelMaxBudget.a.budgetLimit":  {ModelMaxBudget: asked(map[string]models.ModelBudget{"a": {Limit: -1, Period: "1d"}})},
		"modelMaxBudget.a.timePeriod":   {ModelMaxBudget: asked(map[string]models.ModelBudget{"a": {Limit: 1}})},
		"metadata":                      {Metadata: asked(json.RawMessage(`[]`))},
		"metadata.created_by":           {Metadata: asked(json.RawMessage(`{"created_by": "me"}`))},
		"metadata.temp_budget_increase": {Metadata: asked(json.RawMessage(`{"a": 1, "temp_budget_increase": 9, "temp_budget_expiry": "x"}`))},
	} {
		t.Run(field, func(t *testing.T) {
			if field == "metadata.temp_budget_increase" {
				field = "metadata.temp_budget_expiry" // the first of them
			}
			for _, try := range []func() (models.Key, error){
				func() (models.Key, error) { return ask.New(uuid.New(), uuid.New(), models.KeyDefaults{}, now) },
				func() (models.Key, error) { return ask.Change(models.Key{Name: "x"}, models.KeyDefaults{}, now) },
			} {
				_, err := try()
				require.Equal(t, models.Invalid, models.KindOf(err))
				e, _ := errors.AsType[*models.Error](err)
				require.Equal(t, field, e.Field)
			}
		})
	}
	far := limits(models.AskedLimits{ExpiresAt: asked(now.AddDate(101, 0, 0))})
	_, err := far.New(uuid.New(), uuid.New(), models.KeyDefaults{}, now)
	require.ErrorContains(t, err, "too far")
}

// What nobody enforces is said.
func TestUnenforcedKeyTerms(t *testing.T) {
	require.Empty(t, models.KeyTerms{
		Tags: []string{"x"}, SoftBudget: new(models.Dollar), ModelMaxBudget: map[string]models.ModelBudget{"a": {}},
	}.Unenforced())
	require.Len(t, models.KeyTerms{Permissions: map[string]bool{"x": false}, Guardrails: []string{"g"}}.Unenforced(), 2)
}

// box seals so that one can see what it was sealed to.
type box struct{ stolen []byte }

func (box) Seal(plain, to []byte) ([]byte, error) {
	return append(append([]byte{}, to...), plain...), nil
}

func (b box) Open(sealed, to []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, to)
	if !ok {
		return nil, models.Errorf(models.Internal, "sealed to something else")
	}
	return append(plain, b.stolen...), nil
}

// A secret is opened only for the key that it was sealed for.
func TestKeySecret(t *testing.T) {
	k := models.Key{ID: uuid.New()}
	k, err := k.Holding(models.SecretOf("sk-0123456789"), box{})
	require.NoError(t, err)
	require.Equal(t, "sk-0123", k.Prefix)
	secret, err := k.Secret(box{})
	require.NoError(t, err)
	require.Equal(t, "sk-0123456789", secret.Reveal())
	_, err = k.Secret(box{stolen: []byte("x")})
	require.ErrorContains(t, err, "not the one of its hash")
	k.ID = uuid.New()
	_, err = k.Secret(box{})
	require.ErrorContains(t, err, "cannot be opened")
}
