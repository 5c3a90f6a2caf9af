package models

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The status is derived from the wish and from the proof.
func TestKeyStatus(t *testing.T) {
	now, past, future := time.Now(), new(time.Now().Add(-time.Minute)), new(time.Now().Add(time.Minute))
	for _, tc := range []struct {
		name                         string
		generation, observed, failed int64
		edit                         func(*Key)
		want                         KeyStatus
	}{
		{"new", 1, 0, 0, nil, KeyProvisioning},
		{"refused", 1, 0, 1, nil, KeyFailed},
		{"changed since it was refused", 2, 0, 1, nil, KeyProvisioning},
		{"proved", 1, 1, 0, nil, KeyActive},
		{"refused a change", 2, 1, 2, nil, KeyActive},
		{"held", 2, 2, 0, func(k *Key) { k.Holds = []Hold{HoldAdmin} }, KeyBlocked},
		{"without models", 2, 2, 0, func(k *Key) { k.Models = nil }, KeyBlocked},
		{"with a time", 1, 1, 0, func(k *Key) { k.ExpiresAt = future }, KeyActive},
		{"over", 1, 1, 0, func(k *Key) { k.ExpiresAt, k.Holds = past, []Hold{HoldAdmin} }, KeyExpired},
		{"to be revoked", 2, 1, 0, func(k *Key) { k.RevokedAt, k.ExpiresAt = &now, past }, KeyRevoking},
		{"not yet revoked", 2, 1, 2, func(k *Key) { k.RevokedAt = &now }, KeyRevoking},
		{"revoked", 2, 2, 0, func(k *Key) { k.RevokedAt = &now }, KeyRevoked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := Key{Models: []string{"a"}, Generation: tc.generation, ObservedGeneration: tc.observed, FailedGeneration: tc.failed}
			if tc.edit != nil {
				tc.edit(&k)
			}
			require.Equal(t, tc.want, k.Status())
			require.Equal(t, tc.generation == tc.observed, k.Settled())
		})
	}
}

// fullKey is a key with everything that there is.
func fullKey() Key {
	return Key{
		ID: uuid.New(), UserID: uuid.New(), TeamID: new(uuid.New()), Alias: "mine_1", Hash: "hash", Models: []string{"a", "b"},
		Limits: Limits{MaxBudget: new(5 * Dollar), BudgetDuration: "monthly", TPM: new(int64(100)), RPM: new(int64(0))}, MaxParallel: new(int64(2)),
		ModelTPM: map[string]int64{"a": 10}, ModelRPM: map[string]int64{"b": 1}, Metadata: json.RawMessage(`{"project": {"x": 1}}`),
		Spend: Dollar, ExpiresAt: new(time.Now().Add(time.Hour)),
	}
}

// What LiteLLM is to hold is in its words, and says who made it.
func TestKeyProxy(t *testing.T) {
	k := fullKey()
	p := k.Proxy()
	require.Equal(t, "1mo", p.BudgetDuration)
	require.Equal(t, []string{k.UserID.String(), k.TeamID.String()}, []string{p.UserID, p.TeamID})
	require.False(t, p.Blocked)
	require.JSONEq(t, `{"x": 1}`, string(p.Metadata["project"]))
	require.JSONEq(t, `"litemaas"`, string(p.Metadata["created_by"]))
	k.Metadata, k.Holds = json.RawMessage(`{"created_by": "me", "model_rpm_limit": {"a": 1000}, "model_tpm_limit": {}}`), []Hold{HoldQuota}
	require.True(t, k.Proxy().Blocked)
	require.Equal(t, map[string]json.RawMessage{"created_by": json.RawMessage(`"litemaas"`)}, k.Proxy().Metadata, "nobody forges what is LiteLLM's or ours")
	require.Len(t, Key{}.Proxy().Metadata, 1)
}

// Each field in which LiteLLM differs is found, and other words for the same are not.
func TestKeyDifferences(t *testing.T) {
	k := fullKey()
	for _, tc := range []struct {
		name string
		edit func(*ProxyKey)
		want []string
	}{
		{"the same", func(*ProxyKey) {}, nil},
		{"what LiteLLM counts", func(p *ProxyKey) {
			p.Spend, p.BudgetResetAt, p.LastActiveAt = 3*Dollar, new(time.Now()), new(time.Now())
		}, nil},
		{"its owner, for life", func(p *ProxyKey) { p.UserID, p.TeamID = "else", "" }, nil},
		{"a model more", func(p *ProxyKey) { p.Models = []string{"a", "b", "c"} }, []string{"models"}},
		{"a model less", func(p *ProxyKey) { p.Models = []string{"b"} }, []string{"models"}},
		{"every model", func(p *ProxyKey) { p.Models = nil }, []string{"models"}},
		{"blocked", func(p *ProxyKey) { p.Blocked = true }, []string{"blocked"}},
		{"renamed", func(p *ProxyKey) { p.Alias = "else" }, []string{"key_alias"}},
		{"raised", func(p *ProxyKey) { p.MaxBudget = new(6 * Dollar) }, []string{"max_budget"}},
		{
			"unlimited", func(p *ProxyKey) {
				p.MaxBudget, p.TPM, p.RPM, p.MaxParallelRequests = nil, new(int64(Unlimited)), nil, nil
			},
			[]string{"max_budget", "tpm_limit", "rpm_limit", "max_parallel_requests"},
		},
		{"another period", func(p *ProxyKey) { p.BudgetDuration = "30d" }, []string{"budget_duration"}},
		{"single models", func(p *ProxyKey) { p.ModelTPM, p.ModelRPM = map[string]int64{"a": 11}, nil }, []string{"model_tpm_limit", "model_rpm_limit"}},
		{"a little later", func(p *ProxyKey) { p.ExpiresAt = new(p.ExpiresAt.Add(time.Minute)) }, nil},
		{"sooner", func(p *ProxyKey) { p.ExpiresAt = new(p.ExpiresAt.Add(-time.Hour)) }, []string{"expires"}},
		{"for ever", func(p *ProxyKey) { p.ExpiresAt = nil }, []string{"expires"}},
		{"other spaces", func(p *ProxyKey) { p.Metadata["project"] = json.RawMessage(`{ "x":1 }`) }, nil},
		{"a null", func(p *ProxyKey) { p.Metadata["guardrails"] = json.RawMessage(`null`) }, nil},
		{"an entry more", func(p *ProxyKey) { p.Metadata["tags"] = json.RawMessage(`["x"]`) }, []string{"metadata"}},
		{"an entry less", func(p *ProxyKey) { delete(p.Metadata, "project") }, []string{"metadata"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := k.Proxy()
			tc.edit(&seen)
			require.Equal(t, tc.want, k.Differences(seen))
		})
	}
	free := Key{Models: []string{"a"}}
	seen := free.Proxy()
	seen.MaxBudget, seen.TPM, seen.ModelTPM = new(Unlimited*Dollar), new(int64(Unlimited)), map[string]int64{}
	require.Empty(t, free.Differences(seen), "unlimited is no limit")
}

// The order of writes: what blocks comes first, what releases last, and what may call nothing
// is not there.
func TestKeyNext(t *testing.T) {
	now, other := time.Now(), []string{"c"}
	for _, tc := range []struct {
		name string
		key  func(*Key)
		seen func(*ProxyKey) // nil: LiteLLM has none
		want KeyStep
	}{
		{"new", func(*Key) {}, nil, KeyGenerate},
		{"held and new", func(k *Key) { k.Holds = []Hold{HoldAdmin} }, nil, KeyGenerate},
		{"the same", func(*Key) {}, func(*ProxyKey) {}, KeySettled},
		{"a limit", func(*Key) {}, func(p *ProxyKey) { p.TPM = nil }, KeyUpdate},
		{"blocked there", func(*Key) {}, func(p *ProxyKey) { p.Blocked = true }, KeyUnblock},
		{"other models, released", func(*Key) {}, func(p *ProxyKey) { p.Blocked, p.Models = true, other }, KeyUpdate},
		{"other models, held", func(k *Key) { k.Holds = []Hold{HoldAdmin} }, func(p *ProxyKey) { p.Blocked, p.Models = false, other }, KeyBlock},
		{"held, then other models", func(k *Key) { k.Holds = []Hold{HoldAdmin} }, func(p *ProxyKey) { p.Models = other }, KeyUpdate},
		{"held", func(k *Key) { k.Holds = []Hold{HoldAdmin} }, func(*ProxyKey) {}, KeySettled},
		{"revoked", func(k *Key) { k.RevokedAt = &now }, func(*ProxyKey) {}, KeyDelete},
		{"revoked and gone", func(k *Key) { k.RevokedAt = &now }, nil, KeySettled},
		{"its last model taken", func(k *Key) { k.Models = nil }, func(*ProxyKey) {}, KeyDelete},
		{"without models", func(k *Key) { k.Models = nil }, nil, KeySettled},
		{"over", func(k *Key) { k.ExpiresAt = &now }, func(*ProxyKey) {}, KeyDelete},
		{"over and gone", func(k *Key) { k.ExpiresAt = &now }, nil, KeySettled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := fullKey()
			tc.key(&k)
			if tc.seen == nil {
				require.Equal(t, tc.want, k.Next(nil))
				return
			}
			seen := k.Proxy()
			tc.seen(&seen)
			require.Equal(t, tc.want, k.Next(&seen))
		})
	}
}

func TestKeyNarrower(t *testing.T) {
	k := Key{Models: []string{"a", "b"}}
	require.False(t, k.Narrower(ProxyKey{Models: []string{"b"}}))
	require.True(t, k.Narrower(ProxyKey{Models: []string{"b", "c"}}))
	require.True(t, k.Narrower(ProxyKey{}), "to LiteLLM an empty list means every model")
}

// From whatever LiteLLM holds, the steps end at what the row says; on the way the key can never
// call what neither the row nor LiteLLM let it call, and is never one for every model.
func TestKeyNextAlwaysSettles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		k, seen := randomKey(r), randomSeen(r)
		before := callable(seen)
		var allowed []string
		if len(k.Holds) == 0 && k.RevokedAt == nil && !k.Expired() {
			allowed = k.Models
		}
		steps := 0
		for step := k.Next(seen); step != KeySettled; step = k.Next(seen) {
			seen = written(k, step, seen)
			steps++
			require.LessOrEqual(t, steps, 3)
			for _, model := range callable(seen) {
				require.Contains(t, slices.Concat(before, allowed), model, "%s of %+v", step, k)
			}
		}
		require.ElementsMatch(t, allowed, callable(seen))
		if seen != nil {
			require.Empty(t, k.Differences(*seen))
			require.NotEmpty(t, seen.Models)
		}
	}
}

// written is what LiteLLM holds after a step.
func written(k Key, step KeyStep, seen *ProxyKey) *ProxyKey {
	want := k.Proxy()
	switch step {
	case KeyGenerate:
		return &want
	case KeyUpdate: // leaves whether it is blocked
		want.Blocked = seen.Blocked
		return &want
	case KeyBlock, KeyUnblock:
		changed := *seen
		changed.Blocked = step == KeyBlock
		return &changed
	case KeyDelete:
		return nil
	default:
		return seen
	}
}

var everyModel = []string{"a", "b", "c"}

// callable are the models that LiteLLM lets the key call.
func callable(seen *ProxyKey) []string {
	switch {
	case seen == nil || seen.Blocked || seen.ExpiresAt != nil && seen.ExpiresAt.Before(time.Now()):
		return nil
	case len(seen.Models) == 0:
		return everyModel
	}
	return seen.Models
}

func randomKey(r *rand.Rand) Key {
	k := fullKey()
	k.Models = someModels(r)
	if r.IntN(3) == 0 {
		k.Holds = []Hold{HoldAdmin}
	}
	if r.IntN(5) == 0 {
		k.RevokedAt = new(time.Now())
	}
	k.ExpiresAt = []*time.Time{nil, new(time.Now().Add(-time.Minute)), new(time.Now().Add(time.Hour))}[r.IntN(3)]
	return k
}

func randomSeen(r *rand.Rand) *ProxyKey {
	if r.IntN(4) == 0 {
		return nil
	}
	p := fullKey().Proxy()
	p.Models, p.Blocked = someModels(r), r.IntN(2) == 0
	p.TPM = []*int64{nil, new(int64(7))}[r.IntN(2)]
	p.ExpiresAt = []*time.Time{nil, new(time.Now().Add(2 * time.Hour))}[r.IntN(2)]
	p.ModelTPM = maps.Clone(p.ModelTPM)
	p.ModelTPM["c"] = r.Int64N(3)
	return &p
}

func someModels(r *rand.Rand) []string {
	return slices.DeleteFunc(slices.Clone(everyModel), func(string) bool { return r.IntN(2) == 0 })
}
