package models_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

func dollars(n int64) *models.USD { return new(models.USD(n) * models.Dollar) }

// A default may not be more than its maximum, which is said in LiteMaaS's words.
func TestKeyDefaultsCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		d              models.KeyDefaults
		field, message string
	}{
		"a budget": {
			models.KeyDefaults{models.KeyLimitDefaults{MaxBudget: dollars(1000)}, models.KeyLimitMaximums{MaxBudget: dollars(100)}},
			"defaults.maxBudget", "Default max budget cannot exceed the maximum limit",
		},
		"tokens": {
			models.KeyDefaults{models.KeyLimitDefaults{TPM: new(int64(2))}, models.KeyLimitMaximums{TPM: new(int64(1))}},
			"defaults.tpmLimit", "Default TPM limit cannot exceed the maximum limit",
		},
		"requests": {
			models.KeyDefaults{models.KeyLimitDefaults{RPM: new(int64(1))}, models.KeyLimitMaximums{RPM: new(int64(0))}},
			"defaults.rpmLimit", "Default RPM limit cannot exceed the maximum limit",
		},
		"an expiry": {
			models.KeyDefaults{models.KeyLimitDefaults{ExpirationDays: new(91)}, models.KeyLimitMaximums{ExpirationDays: new(90)}},
			"defaults.expirationDays", "Default expiration cannot exceed the maximum expiration limit",
		},
		"a negative budget":      {models.KeyDefaults{Defaults: models.KeyLimitDefaults{MaxBudget: dollars(-1)}}, "defaults.maxBudget", "zero or more"},
		"a negative soft budget": {models.KeyDefaults{Defaults: models.KeyLimitDefaults{SoftBudget: dollars(-1)}}, "defaults.softBudget", "zero or more"},
		"a negative maximum":     {models.KeyDefaults{Maximums: models.KeyLimitMaximums{TPM: new(int64(-1))}}, "maximums.tpmLimit", "zero or more"},
		"no period":              {models.KeyDefaults{Defaults: models.KeyLimitDefaults{BudgetDuration: new("")}}, "defaults.budgetDuration", "a budget period is"},
		"another period":         {models.KeyDefaults{Defaults: models.KeyLimitDefaults{BudgetDuration: new("hourly")}}, "defaults.budgetDuration", "a budget period is"},
		"no day":                 {models.KeyDefaults{Defaults: models.KeyLimitDefaults{ExpirationDays: new(0)}}, "defaults.expirationDays", "from 1 to 36525 days"},
		"too many days":          {models.KeyDefaults{Maximums: models.KeyLimitMaximums{ExpirationDays: new(36_526)}}, "maximums.expirationDays", "from 1 to 36525 days"},
	} {
		t.Run(name, func(t *testing.T) {
			err, ok := errors.AsType[*models.Error](tc.d.Check())
			require.True(t, ok)
			require.Equal(t, models.Invalid, err.Kind)
			require.Equal(t, tc.field, err.Field)
			require.Contains(t, err.Message, tc.message)
		})
	}
	for name, d := range map[string]models.KeyDefaults{
		"nothing":           {},
		"at the maximum":    {models.KeyLimitDefaults{MaxBudget: dollars(100), TPM: new(int64(0))}, models.KeyLimitMaximums{MaxBudget: dollars(100), TPM: new(int64(0))}},
		"only defaults":     {Defaults: models.KeyLimitDefaults{MaxBudget: dollars(5), BudgetDuration: new("30d"), ExpirationDays: new(1)}},
		"a maximum of zero": {Maximums: models.KeyLimitMaximums{MaxBudget: dollars(0)}},
	} {
		require.NoError(t, d.Check(), name)
	}
}

// Null is kept as null, and zero as zero.
func TestKeyDefaultsInJSON(t *testing.T) {
	const text = `{"defaults":{"maxBudget":0,"tpmLimit":null,"rpmLimit":0,"budgetDuration":null,"softBudget":12.5,"expirationDays":null},` +
		`"maximums":{"maxBudget":null,"tpmLimit":0,"rpmLimit":null,"expirationDays":90}}`
	var d models.KeyDefaults
	require.NoError(t, json.Unmarshal([]byte(text), &d))
	require.Nil(t, d.Defaults.TPM)
	require.Equal(t, int64(0), *d.Defaults.RPM)
	require.Equal(t, 12*models.Dollar+models.Dollar/2, *d.Defaults.SoftBudget)
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.JSONEq(t, text, string(raw))
}

func asked[T any](v T) models.Asked[T] { return models.Asked[T]{Named: true, Value: &v} }

func null[T any]() models.Asked[T] { return models.Asked[T]{Named: true} }

var (
	keyNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bound  = models.KeyDefaults{
		models.KeyLimitDefaults{MaxBudget: dollars(10), BudgetDuration: new("monthly"), SoftBudget: dollars(8), ExpirationDays: new(30)},
		models.KeyLimitMaximums{MaxBudget: dollars(100), TPM: new(int64(10_000)), RPM: new(int64(0)), ExpirationDays: new(90)},
	}
)

func in(days int) *time.Time { return new(keyNow.AddDate(0, 0, days)) }

// A new key gets what was asked for, else the default, else the maximum.
func TestKeyDefaultsNew(t *testing.T) {
	limits := func(budget *models.USD, every string, soft *models.USD, tpm, rpm *int64, ends *time.Time) models.KeyLimits {
		return models.KeyLimits{Limits: models.Limits{MaxBudget: budget, BudgetDuration: every, TPM: tpm, RPM: rpm}, SoftBudget: soft, ExpiresAt: ends}
	}
	unbound := models.KeyDefaults{Defaults: bound.Defaults}
	most := models.KeyDefaults{Maximums: bound.Maximums}
	for name, tc := range map[string]struct {
		d    models.KeyDefaults
		ask  models.AskedLimits
		want models.KeyLimits
	}{
		"nothing, of nothing": {models.KeyDefaults{}, models.AskedLimits{}, models.KeyLimits{}},
		"nothing":             {bound, models.AskedLimits{}, limits(dollars(10), "monthly", dollars(8), new(int64(10_000)), new(int64(0)), in(30))},
		"nothing but maximums": {
			most, models.AskedLimits{}, limits(dollars(100), "", nil, new(int64(10_000)), new(int64(0)), in(90)),
		},
		"null": {
			bound,
			models.AskedLimits{MaxBudget: null[models.USD](), SoftBudget: null[models.USD](), TPM: null[int64](), RPM: null[int64](), BudgetDuration: null[string]()},
			limits(dollars(10), "monthly", dollars(8), new(int64(10_000)), new(int64(0)), in(30)),
		},
		"zero": {
			unbound,
			models.AskedLimits{MaxBudget: asked(models.USD(0)), TPM: asked(int64(0)), RPM: asked(int64(0))},
			limits(dollars(0), "monthly", dollars(8), new(int64(0)), new(int64(0)), in(30)),
		},
		"the maximum": {
			most,
			models.AskedLimits{MaxBudget: asked(100 * models.Dollar), TPM: asked(int64(10_000)), ExpiresAt: asked(*in(90))},
			limits(dollars(100), "", nil, new(int64(10_000)), new(int64(0)), in(90)),
		},
		"less": {
			bound,
			models.AskedLimits{MaxBudget: asked(models.Dollar), BudgetDuration: asked("1h"), SoftBudget: asked(models.USD(0)), ExpiresAt: asked(*in(1))},
			limits(dollars(1), "1h", dollars(0), new(int64(10_000)), new(int64(0)), in(1)),
		},
		"some hours beyond the maximum": {
			most,
			models.AskedLimits{ExpiresAt: asked(in(90).Add(23 * time.Hour))},
			limits(dollars(100), "", nil, new(int64(10_000)), new(int64(0)), in(90)),
		},
		"never": {
			unbound, models.AskedLimits{ExpiresAt: null[time.Time]()}, limits(dollars(10), "monthly", dollars(8), nil, nil, nil),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.d.New(tc.ask, keyNow)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

// What is more than a maximum is refused, all of it in one sentence.
func TestKeyDefaultsExceeded(t *testing.T) {
	for want, ask := range map[string]models.AskedLimits{
		"Quota limits exceeded: maxBudget: 500 exceeds maximum 100":           {MaxBudget: asked(500 * models.Dollar)},
		"Quota limits exceeded: maxBudget: 100.000000001 exceeds maximum 100": {MaxBudget: asked(100*models.Dollar + 1)},
		"Quota limits exceeded: rpmLimit: 1 exceeds maximum 0":                {RPM: asked(int64(1))},
		"Quota limits exceeded: expirationDays: 'Never' is not allowed":       {ExpiresAt: null[time.Time]()},
		"Quota limits exceeded: expirationDays: 91 exceeds maximum 90":        {ExpiresAt: asked(*in(91))},
		"Quota limits exceeded: expirationDays: 2912018 exceeds maximum 90":   {ExpiresAt: asked(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))},
		"Quota limits exceeded: maxBudget: 500 exceeds maximum 100; tpmLimit: 10001 exceeds maximum 10000; expirationDays: 'Never' is not allowed": {
			MaxBudget: asked(500 * models.Dollar), TPM: asked(int64(10_001)), ExpiresAt: null[time.Time](),
		},
	} {
		for _, judge := range []func() (models.KeyLimits, error){
			func() (models.KeyLimits, error) { return bound.New(ask, keyNow) },
			func() (models.KeyLimits, error) { return bound.Change(models.KeyLimits{}, ask, keyNow) },
		} {
			got, err := judge()
			require.Equal(t, models.Invalid, models.KindOf(err))
			require.EqualError(t, err, want)
			require.Zero(t, got)
		}
	}
	_, err := bound.New(models.AskedLimits{TPM: asked(int64(10_001)), RPM: asked(int64(1))}, keyNow)
	refusal, _ := errors.AsType[*models.Error](err)
	require.Equal(t, "tpmLimit", refusal.Field)
}

// A change leaves alone what it does not name, even beyond a maximum that came later; null is the
// maximum where there is one.
func TestKeyDefaultsChange(t *testing.T) {
	was := models.KeyLimits{
		Limits: models.Limits{MaxBudget: dollars(900), BudgetDuration: "weekly", TPM: new(int64(5)), RPM: nil}, SoftBudget: dollars(3), ExpiresAt: nil,
	}
	same, err := bound.Change(was, models.AskedLimits{}, keyNow)
	require.NoError(t, err)
	require.Equal(t, was, same)

	cleared := models.AskedLimits{
		MaxBudget: null[models.USD](), SoftBudget: null[models.USD](), TPM: null[int64](), RPM: null[int64](), BudgetDuration: null[string](),
	}
	got, err := bound.Change(was, cleared, keyNow)
	require.NoError(t, err)
	require.Equal(t, models.KeyLimits{Limits: models.Limits{MaxBudget: dollars(100), TPM: new(int64(10_000)), RPM: new(int64(0))}}, got)
	cleared.ExpiresAt = null[time.Time]()
	got, err = models.KeyDefaults{Defaults: bound.Defaults}.Change(was, cleared, keyNow)
	require.NoError(t, err)
	require.Equal(t, models.KeyLimits{}, got, "a default is for new keys")
}

// Whatever is asked for: what comes out of it is under every maximum, or it is refused.
func FuzzKeyDefaults(f *testing.F) {
	f.Add(uint64(0), int64(0), int64(0), int64(0))
	f.Add(^uint64(0), int64(1), int64(2), int64(3))
	f.Add(uint64(0b1010_1010_0101), int64(5), int64(5), int64(5))
	f.Add(uint64(0xfff), int64(-1), int64(1<<62), int64(90))
	f.Fuzz(func(t *testing.T, flags uint64, a, b, c int64) {
		flag := func() bool { bit := flags&1 == 1; flags >>= 1; return bit }
		number := func(n int64) *int64 {
			if !flag() {
				return nil
			}
			return &n
		}
		usd := func(n int64) *models.USD { return (*models.USD)(number(n)) }
		days := func(n int64) *int {
			if !flag() {
				return nil
			}
			return new(int(1 + uint64(n)%models.MaxExpirationDays))
		}
		d := models.KeyDefaults{
			models.KeyLimitDefaults{MaxBudget: usd(a), TPM: number(b), RPM: number(c), ExpirationDays: days(a)},
			models.KeyLimitMaximums{MaxBudget: usd(b), TPM: number(c), RPM: number(a), ExpirationDays: days(b)},
		}
		if d.Check() != nil {
			return
		}
		ask := models.AskedLimits{
			MaxBudget: models.Asked[models.USD]{Named: flag(), Value: usd(c)}, TPM: models.Asked[int64]{Named: flag(), Value: number(a)},
			RPM: models.Asked[int64]{Named: flag(), Value: number(b)}, ExpiresAt: models.Asked[time.Time]{Named: flag()},
		}
		if flag() {
			ask.ExpiresAt.Value = new(keyNow.Add(time.Duration(c)))
		}
		if got, err := d.New(ask, keyNow); err == nil {
			requireUnder(t, d.Maximums, got, true, true, true, true)
		}
		if got, err := d.Change(models.KeyLimits{}, ask, keyNow); err == nil {
			requireUnder(t, d.Maximums, got, ask.MaxBudget.Named, ask.TPM.Named, ask.RPM.Named, ask.ExpiresAt.Named)
		}
	})
}

// requireUnder looks at those limits that were given.
func requireUnder(t *testing.T, most models.KeyLimitMaximums, got models.KeyLimits, budget, tpm, rpm, ends bool) {
	t.Helper()
	require.True(t, !budget || under(got.MaxBudget, most.MaxBudget), "%v of %v", got, most)
	require.True(t, !tpm || under(got.TPM, most.TPM), "%v of %v", got, most)
	require.True(t, !rpm || under(got.RPM, most.RPM), "%v of %v", got, most)
	if ends && most.ExpirationDays != nil {
		require.NotNil(t, got.ExpiresAt)
		require.False(t, got.ExpiresAt.After(*in(*most.ExpirationDays)))
	}
}

func under[T models.USD | int64](v, most *T) bool { return most == nil || v != nil && *v <= *most }
