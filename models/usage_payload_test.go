package models_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// pushed is what LiteLLM 1.108 sent of two calls and one that failed.
func pushed(tb testing.TB) []byte {
	tb.Helper()
	raw, err := os.ReadFile("testdata/usage_payload.json")
	require.NoError(tb, err)
	return raw
}

// then is shortly after the calls of pushed.
var then = time.Unix(1795659600, 0)

func TestReadUsagePayload(t *testing.T) {
	array := pushed(t)
	var each []json.RawMessage
	require.NoError(t, json.Unmarshal(array, &each))
	lines := append(bytes.Join([][]byte{each[0], each[1], each[2]}, []byte("\n")), '\n')
	for form, body := range map[string][]byte{"json_array": array, "ndjson": lines} {
		t.Run(form, func(t *testing.T) {
			got, err := models.ReadUsagePayload(body, then)
			require.NoError(t, err)
			require.Empty(t, got.Rejected)
			require.Equal(t, []models.UsageEvent{
				{
					RequestID: "chatcmpl-c4342c77-b7de-4841-a27e-a4751dd4cfeb", CallID: "b0f286d6-7b4c-4e3c-a315-cb8e2ec21ec6",
					KeyHash: strings.Repeat("a", 64), UserID: "0b6a3ef8-1111-4222-8333-444455556666", TeamID: "0b6a3ef8-9999-4222-8333-444455556666",
					Model: "gpt-4o", Provider: "openai", At: time.UnixMilli(1795659525343).UTC(), Latency: 240 * time.Millisecond,
					Requests: 1, Prompt: 10, Completion: 20, Cost: new(225 * models.Dollar / 1_000_000),
				},
				{
					RequestID: "chatcmpl-3c234141-7efa-4f99-94c6-cdd94d21dafd", CallID: "85a53dbd-e219-4860-9d2b-cb26a07b4aa5",
					KeyHash: strings.Repeat("a", 64), UserID: "0b6a3ef8-1111-4222-8333-444455556666", TeamID: "0b6a3ef8-9999-4222-8333-444455556666",
					Model: "mine", Provider: "openai", At: time.UnixMilli(1795659525590).UTC(), Latency: 60 * time.Millisecond,
					Requests: 1, Prompt: 10, Completion: 20, Cost: new(models.USD(0)),
				},
				{
					RequestID: "f188b1c3-a54d-4455-9cf4-05109c0593e2", CallID: "f188b1c3-a54d-4455-9cf4-05109c0593e2",
					KeyHash: strings.Repeat("a", 64), UserID: "0b6a3ef8-1111-4222-8333-444455556666", TeamID: "0b6a3ef8-9999-4222-8333-444455556666",
					Model: "gpt-4o", Provider: "openai", At: time.UnixMilli(1795659525661).UTC(), Latency: 300 * time.Millisecond,
					Requests: 1, Failed: 1, Cost: new(models.USD(0)),
				},
			}, got.Events)
		})
	}
	t.Run("single", func(t *testing.T) {
		got, err := models.ReadUsagePayload(each[2], then)
		require.NoError(t, err)
		require.Len(t, got.Events, 1)
		require.EqualValues(t, 1, got.Events[0].Failed)
	})
	t.Run("none", func(t *testing.T) {
		got, err := models.ReadUsagePayload([]byte(" [ ] \n"), then)
		require.NoError(t, err)
		require.Empty(t, got.Events)
	})
}

const minimal = `{"id":"a","status":"success","startTime":1795659525.25`

// What a call may leave out, and how else it may be written.
func TestReadUsagePayloadLoosely(t *testing.T) {
	for name, tc := range map[string]struct {
		rest string
		want func(t *testing.T, e models.UsageEvent)
	}{
		"no cost": {``, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			require.Nil(t, e.Cost)
			require.Zero(t, e.Latency)
			require.Equal(t, time.UnixMilli(1795659525250).UTC(), e.At)
		}},
		"a cost that could not be found": {`,"response_cost":0.0,"response_cost_failure_debug_info":{"error_str":"no price"}`, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			require.Nil(t, e.Cost)
		}},
		"a small cost": {`,"response_cost":2.2e-05`, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			require.Equal(t, models.USD(22_000), *e.Cost)
		}},
		"tokens as Python may write them": {`,"prompt_tokens":12.0,"completion_tokens":1e3`, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			require.EqualValues(t, 12, e.Prompt)
			require.EqualValues(t, 1000, e.Completion)
		}},
		"null": {`,"model":null,"metadata":null,"prompt_tokens":null,"endTime":null,"response_cost":null,"litellm_call_id":null`, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			require.Empty(t, e.Model)
			require.Nil(t, e.Cost)
		}},
		"no group": {`,"model_group":"","model":"openai\/gpt-4o","x":[{"\"}]":NaN}]`, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			require.Equal(t, "openai/gpt-4o", e.Model)
		}},
		"a call id alone": {`,"id":null,"litellm_call_id":"b"`, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			require.Equal(t, "b", e.RequestID)
		}},
		"a cache hit": {`,"id":"a_cache_hit1795659525.1","cache_hit":true,"litellm_call_id":"c"`, func(t *testing.T, e models.UsageEvent) {
			t.Helper()
			other := e
			other.RequestID = "a_cache_hit1795659599.9"
			require.Equal(t, other.ID(), e.ID())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := models.ReadUsagePayload([]byte(minimal+tc.rest+`}`), then)
			require.NoError(t, err)
			require.Empty(t, got.Rejected)
			require.Len(t, got.Events, 1)
			tc.want(t, got.Events[0])
		})
	}
}

// A call that is no good is rejected by its index and its field, and hinders no other.
func TestRejectedUsage(t *testing.T) {
	long := strings.Repeat("x", 1001)
	for rest, field := range map[string]string{
		`"id":""`: "id", `"id":5`: "id", `"id":"` + long + `"`: "id", `"id":"\u0000"`: "id", `"id":"\ud800\q"`: "id", "\"id\":\"\xff\"": "id",
		`"status":"x"`: "status", `"status":null`: "status", `"startTime":null`: "startTime", `"startTime":"2026-11-26"`: "startTime",
		`"startTime":-1`: "startTime", `"startTime":1e300`: "startTime", `"startTime":NaN`: "startTime", `"startTime":1`: "startTime", `"startTime":4294967295`: "startTime",
		`"endTime":1795659525`: "endTime", `"endTime":true`: "endTime", `"prompt_tokens":-1`: "prompt_tokens", `"prompt_tokens":1.5`: "prompt_tokens",
		`"completion_tokens":"1"`: "completion_tokens", `"completion_tokens":1e19`: "completion_tokens", `"completion_tokens":9000000000000000000`: "completion_tokens",
		`"response_cost":-1`: "response_cost", `"response_cost":"much"`: "response_cost", `"response_cost":1e400`: "response_cost", `"response_cost":NaN`: "response_cost",
		`"model":[1]`: "model", `"model_group":{}`: "model_group", `"custom_llm_provider":"` + long + `"`: "custom_llm_provider", `"litellm_call_id":1`: "litellm_call_id",
		`"metadata":[]`: "metadata", `"metadata":{"user_api_key_hash":7}`: "metadata.user_api_key_hash",
		`"metadata":{"user_api_key_user_id":{}}`: "metadata.user_api_key_user_id", `"metadata":{"user_api_key_team_id":true}`: "metadata.user_api_key_team_id",
	} {
		t.Run(rest[:min(len(rest), 60)], func(t *testing.T) {
			got, err := models.ReadUsagePayload([]byte(`[`+minimal+`},`+minimal+`,`+rest+`},`+minimal+`}]`), then)
			require.NoError(t, err)
			require.Len(t, got.Events, 2)
			require.Len(t, got.Rejected, 1)
			require.Equal(t, 1, got.Rejected[0].Index)
			require.Equal(t, field, got.Rejected[0].Field)
			require.NotEmpty(t, got.Rejected[0].Message)
		})
	}
	got, err := models.ReadUsagePayload([]byte(`[null, "a", 1, [{}], {}]`), then)
	require.NoError(t, err)
	require.Empty(t, got.Events)
	require.Len(t, got.Rejected, 5)
	require.Equal(t, models.RejectedUsage{Index: 3, Field: "body", Message: "must be an object"}, got.Rejected[3])
}

func TestNoUsagePayload(t *testing.T) {
	for _, body := range []string{
		"", " ", "\x00", "{", "[", "[,]", "{}}", "[{}", "[{}]]", "[{} {}]", `{"id"}`, `{"id":}`, `{"id":"a}`, `{"id":"a\"}`, `{id:1}`, `{"a":1,}`, "{},{}", `{"a":[1}`, "]",
		"[" + strings.Repeat("{},", models.MaxUsagePayload) + "{}]",
	} {
		_, err := models.ReadUsagePayload([]byte(body), then)
		var e *models.Error
		require.ErrorAs(t, err, &e, "%.60s", body)
		require.Equal(t, models.Invalid, e.Kind)
		require.Equal(t, "body", e.Field)
	}
}

// Whatever is sent, nothing breaks, and what is taken may be recorded; and what is JSON is read as
// encoding/json reads it.
func FuzzReadUsagePayload(f *testing.F) {
	f.Add(pushed(f)[:2000]) // and all that is behind it is missing
	f.Add([]byte(minimal + "}\n" + minimal + `,"metadata":{"user_api_key_hash":"\"\\"}}`))
	f.Add([]byte(`[{"id":"\u00e9\\","status":"failure","startTime":1.7956595e9,"prompt_tokens":3,"x":[[{"]":"}"}]]}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := models.ReadUsagePayload(body, then)
		for _, e := range got.Events {
			require.NoError(t, e.Check(then))
			require.False(t, strings.ContainsAny(e.RequestID+e.CallID+e.Model+e.Provider+e.KeyHash+e.UserID+e.TeamID, "\x00"))
		}
		var list []map[string]json.RawMessage
		if json.Unmarshal(body, &list) != nil || len(list) > models.MaxUsagePayload {
			return
		}
		if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
			return
		}
		require.NoError(t, err)
		require.Len(t, list, len(got.Events)+len(got.Rejected))
		rejected := map[int]bool{}
		for _, r := range got.Rejected {
			rejected[r.Index] = true
		}
		taken := 0
		for i, call := range list {
			if rejected[i] || bytes.Contains(body, []byte(`\u`)) { // a name may be written so
				continue
			}
			e := got.Events[taken]
			taken++
			var id string
			require.NoError(t, json.Unmarshal(cmpRaw(call["id"], call["litellm_call_id"]), &id))
			require.Equal(t, id, e.RequestID)
			var prompt float64
			if raw := call["prompt_tokens"]; raw != nil {
				require.NoError(t, json.Unmarshal(raw, &prompt))
			}
			require.InDelta(t, prompt, float64(e.Prompt), 1)
		}
	})
}

// cmpRaw is the first that is a string, and not an empty one.
func cmpRaw(a, b json.RawMessage) json.RawMessage {
	if len(a) > 2 && a[0] == '"' {
		return a
	}
	return b
}

func BenchmarkReadUsagePayload(b *testing.B) {
	var each []json.RawMessage
	require.NoError(b, json.Unmarshal(pushed(b), &each))
	var body bytes.Buffer
	const calls = 512
	for i := range calls {
		fmt.Fprintf(&body, "%c%s", "[,"[min(i, 1)], each[i%len(each)])
	}
	body.WriteByte(']')
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		got, err := models.ReadUsagePayload(body.Bytes(), then)
		require.NoError(b, err)
		require.Len(b, got.Events, calls)
	}
	b.ReportMetric(float64(calls*b.N)/b.Elapsed().Seconds(), "events/s")
}
