package models

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// disputedKey is a key, and LiteLLM's that differs from it in everything.
func disputedKey() (Key, ProxyKey) {
	k := Key{
		ID: uuid.New(), UserID: uuid.New(), Alias: "a", Hash: "h", Models: []string{"m"},
		Limits:   Limits{MaxBudget: new(5 * Dollar), BudgetDuration: "monthly", TPM: new(int64(5)), RPM: new(int64(6))},
		ModelTPM: map[string]int64{"m": 1}, Metadata: json.RawMessage(`{"note": "ours"}`), UpdatedAt: time.Now(),
	}
	seen := k.Proxy()
	seen.Alias, seen.Models, seen.Blocked, seen.ExpiresAt = "b", []string{"m", "n"}, true, new(time.Now().Add(time.Hour))
	seen.MaxBudget, seen.BudgetDuration, seen.TPM, seen.RPM = new(9*Dollar), "30d", new(int64(50)), nil
	seen.MaxParallelRequests, seen.ModelTPM, seen.ModelRPM = new(int64(3)), map[string]int64{"m": 2}, map[string]int64{"m": 3}
	seen.Metadata = map[string]json.RawMessage{"note": json.RawMessage(`"theirs"`), metadataCreator: json.RawMessage(`"litemaas"`)}
	return k, seen
}

// Whose word counts, by strategy; what a key is called, may call, whether it is blocked and when
// it ends is ours by each.
func TestKeyStrategy(t *testing.T) {
	k, seen := disputedKey()
	older, newer := k.UpdatedAt.Add(-time.Hour), k.UpdatedAt.Add(time.Hour)
	for _, tc := range []struct {
		strategy          KeyStrategy
		settings, updated *time.Time
		want              KeySide
	}{
		{"", &newer, &newer, ""},
		{KeysOurs, &newer, &newer, ""},
		{KeysTheirs, nil, nil, SideTheirs},
		{KeysManual, nil, nil, SideOpen},
		{KeysNewest, nil, nil, ""},
		{KeysNewest, &older, &newer, ""}, // it was only used since
		{KeysNewest, &newer, &older, SideTheirs},
		{KeysNewest, nil, &newer, SideTheirs},
	} {
		seen.SettingsAt, seen.UpdatedAt = tc.settings, tc.updated
		fields, taken := tc.strategy.Rule(k, seen)
		wins := map[string]KeySide{}
		for _, f := range fields {
			wins[f.Field] = f.Wins
			require.Equal(t, string(seen.Field(f.Field)), string(f.Old))
			require.Equal(t, string(k.Proxy().Field(f.Field)), string(f.New))
		}
		want := map[string]KeySide{"key_alias": "", "expires": ""}
		for _, field := range KeyFieldsOfLiteLLM() {
			want[field] = tc.want
		}
		require.Equal(t, want, wins, "%s", tc.strategy)
		if tc.want == SideTheirs {
			require.Equal(t, []string{"models", "blocked", "key_alias", "expires"}, taken.Differences(seen))
			require.JSONEq(t, `{"note": "theirs"}`, string(taken.Metadata), "our mark is no part of it")
		} else {
			require.Equal(t, k, taken)
		}
	}
}

// A value that no row can have is never taken; nor is there anything to take where only our own
// mark is gone.
func TestKeyStrategyLeavesWhatCannotBe(t *testing.T) {
	for name, edit := range map[string]func(*ProxyKey){
		"max_budget":            func(p *ProxyKey) { p.MaxBudget = new(-Dollar) },
		"budget_duration":       func(p *ProxyKey) { p.BudgetDuration = "soon" },
		"tpm_limit":             func(p *ProxyKey) { p.TPM = new(int64(-1)) },
		"max_parallel_requests": func(p *ProxyKey) { p.MaxParallelRequests = new(int64(-1)) },
		metadataTPM:             func(p *ProxyKey) { p.ModelTPM = map[string]int64{"m": -1} },
		"metadata":              func(p *ProxyKey) { delete(p.Metadata, metadataCreator) },
	} {
		k, _ := disputedKey()
		seen := k.Proxy()
		edit(&seen)
		fields, taken := KeysTheirs.Rule(k, seen)
		require.Len(t, fields, 1, name)
		require.Equal(t, name, fields[0].Field)
		require.Empty(t, fields[0].Wins, name)
		require.Equal(t, k, taken, name)
	}
}

// What a person has yet to decide about LiteLLM may keep; unless the row changed there since.
func TestKeyWanted(t *testing.T) {
	k, seen := disputedKey()
	seen.Models, seen.Blocked, seen.Alias, seen.ExpiresAt = k.Models, false, k.Alias, nil
	all := k.Differences(seen)
	require.Len(t, all, 8)
	k.Disputed = map[string]json.RawMessage{}
	for _, field := range all {
		k.Disputed[field] = k.Proxy().Field(field)
	}
	require.Empty(t, k.Differences(seen))
	require.Equal(t, KeySettled, k.Next(&seen))
	k.Limits.TPM = new(int64(7))
	require.Equal(t, []string{"tpm_limit"}, k.Differences(seen), "its owner has decided")
	require.Equal(t, int64(7), *k.Wanted(seen).TPM)
	require.Equal(t, seen.MaxBudget, k.Wanted(seen).MaxBudget)
}

// What is written at LiteLLM about a key that is not ours.
func TestKeyOrphanNext(t *testing.T) {
	open, blocked := &ProxyKey{}, &ProxyKey{Blocked: true}
	for _, tc := range []struct {
		o    KeyOrphan
		seen *ProxyKey
		want KeyStep
	}{
		{KeyOrphan{State: OrphanSeen}, open, KeySettled},
		{KeyOrphan{State: OrphanAdopted}, open, KeySettled},
		{KeyOrphan{State: OrphanQuarantined}, open, KeyBlock},
		{KeyOrphan{State: OrphanQuarantined}, blocked, KeySettled},
		{KeyOrphan{State: OrphanQuarantined}, nil, KeySettled},
		{KeyOrphan{State: OrphanReleased}, blocked, KeyUnblock},
		{KeyOrphan{State: OrphanReleased, WasBlocked: true}, blocked, KeySettled},
		{KeyOrphan{State: OrphanReleased}, open, KeySettled},
		{KeyOrphan{State: OrphanDeleted}, open, KeyDelete},
		{KeyOrphan{State: OrphanDeleted}, blocked, KeyDelete},
		{KeyOrphan{State: OrphanDeleted}, nil, KeySettled},
	} {
		require.Equal(t, tc.want, tc.o.Next(tc.seen), "%+v", tc)
	}
}

// What is so much at once that a person is told.
func TestKeysNote(t *testing.T) {
	g := Guard{MaxRemovedPercent: 20, MinRemoved: 3}
	require.Empty(t, g.KeysNote(100, 20, 0))
	require.Empty(t, g.KeysNote(4, 2, 0))
	require.Equal(t, "LiteLLM had lost 21 of 100 keys; they are made again", g.KeysNote(100, 21, 0))
	require.Equal(t, "LiteLLM had lost 3 of 3 keys; they are made again. 5 keys at LiteLLM claim to be ours, beside 3 that are, more than the guard lets be blocked at once (20 %, at least 3): none was", g.KeysNote(3, 3, 5))
}
