package litellmtest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

// limits are those of a key that may call a model.
var limits = litellm.KeyLimits{Models: []string{"gpt-4o"}}

// aKey is a key of somebody's.
func aKey(secret string) litellm.NewKey {
	return litellm.NewKey{Secret: models.SecretOf(secret), KeyLimits: limits}
}

const ada = "sk-key-of-ada-0001"

// Each kind of fault looks to a client as it should, and is over when its calls were made.
func TestFaultsLookLikeFailures(t *testing.T) {
	for name, test := range map[string]struct {
		fault litellmtest.Fault
		says  string
	}{
		"an error":       {litellmtest.Fault{Kind: litellmtest.FaultStatus}, "Internal Server Error."},
		"a chosen error": {litellmtest.Fault{Kind: litellmtest.FaultStatus, Status: 503, Message: "draining"}, "draining"},
		"no answer":      {litellmtest.Fault{Kind: litellmtest.FaultCut}, "does not answer"},
		"half an answer": {litellmtest.Fault{Kind: litellmtest.FaultTruncated}, "does not answer"},
		"no JSON":        {litellmtest.Fault{Kind: litellmtest.FaultMalformed}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, c := litellmtest.New(t)
			test.fault.Path, test.fault.Times = "/v2/model/info", 2
			p.Inject(test.fault)
			for range 2 {
				_, err := c.Deployments(t.Context(), 1, 10)
				require.Equal(t, models.Unavailable, models.KindOf(err))
				require.ErrorContains(t, err, test.says)
			}
			_, err := c.Deployments(t.Context(), 1, 10)
			require.NoError(t, err)
			require.Equal(t, 3, p.Calls("/v2/model/info"))
		})
	}
}

// A fault before the work leaves nothing behind; one after it loses only the answer.
func TestFaultsBeforeAndAfterTheWork(t *testing.T) {
	for _, done := range []bool{false, true} {
		for _, kind := range []litellmtest.FaultKind{litellmtest.FaultStatus, litellmtest.FaultCut} {
			p, c := litellmtest.New(t)
			p.Inject(litellmtest.Fault{Path: "/key/generate", Kind: kind, Done: done, Times: 1})
			require.Equal(t, models.Unavailable, models.KindOf(c.GenerateKey(t.Context(), aKey(ada))))
			require.Equal(t, done, len(p.Keys()) == 1)
			_, err := c.Key(t.Context(), models.SecretOf(ada).Hash())
			require.Equal(t, done, err == nil)
		}
	}
	p, c := litellmtest.New(t)
	p.LoseNext("/key/generate", 1)
	p.FailNext("/key/delete", 1, http.StatusBadGateway)
	require.Error(t, c.GenerateKey(t.Context(), aKey(ada)))
	err := c.DeleteKey(t.Context(), models.SecretOf(ada).Hash())
	e, ok := errors.AsType[*litellm.Error](err)
	require.True(t, ok)
	require.Equal(t, http.StatusBadGateway, e.Status)
	require.Len(t, p.Keys(), 1)
	require.NoError(t, c.DeleteKey(t.Context(), models.SecretOf(ada).Hash()))
	require.Empty(t, p.Keys())
}

// Being asked to slow down comes with how long.
func TestFaultRetryAfter(t *testing.T) {
	p, c := litellmtest.New(t)
	p.Inject(litellmtest.Fault{Kind: litellmtest.FaultStatus, Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second})
	_, err := c.User(t.Context(), "ada")
	e, ok := errors.AsType[*models.Error](err)
	require.True(t, ok)
	require.Equal(t, 7*time.Second, e.RetryAfter)
}

// A fault may be meant for one path, for all paths of a pattern, or for every call; the oldest
// is taken, and it can be taken back.
func TestFaultsFindTheirCalls(t *testing.T) {
	p, c := litellmtest.New(t)
	patch := func() error { return c.PatchDeployment(t.Context(), "nobody", litellm.DeploymentSpec{Mode: "chat"}) }
	remove := p.Inject(litellmtest.Fault{Path: "/model/{id}/update", Kind: litellmtest.FaultStatus, Status: 503, Message: "first"})
	removeAll := p.Inject(litellmtest.Fault{Kind: litellmtest.FaultStatus, Status: 503, Message: "second"})
	require.ErrorContains(t, patch(), "first")
	require.ErrorContains(t, c.DeleteUser(t.Context(), "ada"), "second")
	remove()
	require.ErrorContains(t, patch(), "second")
	removeAll()
	require.Equal(t, models.NotFound, models.KindOf(patch()))
	require.Equal(t, 3, p.Calls("/model/{id}/update"))
	require.Equal(t, 3, p.Calls("/model/nobody/update"))
}

// A slow call is answered in the end, unless its caller has left; before the work he takes it
// with him, after it only the answer.
func TestSlowCalls(t *testing.T) {
	p, c := litellmtest.New(t)
	p.Inject(litellmtest.Fault{Path: "/key/generate", Times: 1, Delay: time.Millisecond})
	require.NoError(t, c.GenerateKey(t.Context(), aKey(ada)))
	for i, done := range []bool{false, true} {
		p.Inject(litellmtest.Fault{Path: "/key/generate", Times: 1, Delay: time.Hour, Done: done})
		ctx, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
		require.ErrorIs(t, c.GenerateKey(ctx, aKey(ada+string(rune('a'+i)))), context.DeadlineExceeded)
		leave()
	}
	require.Len(t, p.Keys(), 2)
}

// What was called can be looked at afterwards.
func TestRequestsAreRemembered(t *testing.T) {
	p, c := litellmtest.New(t)
	require.NoError(t, c.GenerateKey(litellm.WithChangedBy(t.Context(), "ada"), aKey(ada)))
	p.Inject(litellmtest.Fault{Kind: litellmtest.FaultTruncated, Times: 1})
	_, err := c.Deployments(t.Context(), 2, 5)
	require.Error(t, err)
	require.Error(t, c.DeleteUser(t.Context(), "nobody"))
	require.Equal(t, []litellmtest.Request{
		{Method: "POST", Path: "/key/generate", ChangedBy: "ada", Status: 200},
		{Method: "GET", Path: "/v2/model/info", Query: "page=2&size=5&sortBy=model_name&sortOrder=asc"},
		{Method: "POST", Path: "/user/delete", Status: 404},
	}, p.Requests())
}
