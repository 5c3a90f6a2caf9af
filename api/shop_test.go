package api_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
	"github.com/litemaas/litemaas/workflows"
)

// shop is an API with everything behind it: a catalogue, ada who subscribes, and two admins.
type shop struct {
	system
	proxy           *litellmtest.Proxy
	llm             *litellm.Client
	sql             *sql.DB
	ada, root, boss string // their headers Authorization
}

// open is a shop that has these models too, beside those that litellmtest always has.
func open(t *testing.T, extra ...string) shop {
	t.Helper()
	url := storetest.URL(t)
	db, err := store.Open(t.Context(), store.Config{URL: models.SecretOf(url), MaxConns: 16})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	s, proxy, _ := runningOn(t, db)
	for _, name := range extra {
		proxy.AddDeployment(litellmtest.Deployment{ID: "d-" + name, Name: name, Model: "openai/" + name})
	}
	s.call(t, http.MethodPost, "/api/v1/models/sync", "").is(http.StatusOK)
	return shop{
		s, proxy, litellmtest.Serve(t, proxy), storetest.SQL(t, url),
		s.as(t, "ada@example.com", user), s.as(t, "root@example.com", admin, user), s.as(t, "boss@example.com", admin, user),
	}
}

// cut lets LiteLLM answer nothing, and be known for that, until the returned function is called.
func (s shop) cut(t *testing.T) (back func()) {
	t.Helper()
	s.down(t)
	remove := s.proxy.Inject(litellmtest.Fault{Kind: litellmtest.FaultCut})
	return func() {
		remove()
		s.up(t)
	}
}

// subscribe asks for a model.
func (s shop) subscribe(t *testing.T, who, model string) reply {
	t.Helper()
	return s.by(t, who, http.MethodPost, "/api/v1/subscriptions", fmt.Sprintf(`{"modelId": %q}`, model))
}

// has subscribes to a model, and returns the path of the subscription.
func (s shop) has(t *testing.T, who, model string) string {
	t.Helper()
	return own(s.subscribe(t, who, model).is(http.StatusCreated))
}

// own is where the owner of a subscription finds it.
func own(r reply) string { return "/api/v1/subscriptions/" + id(r) }

func id(r reply) string { return r.at("id").(string) }

// restrict says whether a model needs an approval.
func (s shop) restrict(t *testing.T, model string, yes bool) reply {
	t.Helper()
	return s.by(t, s.root, http.MethodPut, "/api/v1/admin/models/"+model, fmt.Sprintf(`{"restrictedAccess": %t}`, yes))
}

// decide approves or denies subscriptions.
func (s shop) decide(t *testing.T, who, verb string, ids ...string) reply {
	t.Helper()
	return s.by(t, who, http.MethodPost, "/api/v1/admin/subscriptions/"+verb, fmt.Sprintf(`{"subscriptionIds": %s, "reason": "because"}`, list(ids)))
}

// list is a JSON list of texts.
func list(texts []string) string {
	out := "["
	for i, text := range texts {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%q", text)
	}
	return out + "]"
}

// settles waits until nothing is under way for a subscription, and returns it.
func (s shop) settles(t *testing.T, who, path string) reply {
	t.Helper()
	var last reply
	require.Eventually(t, func() bool {
		last = s.by(t, who, http.MethodGet, path, "").is(http.StatusOK)
		return last.at("settled") == true
	}, 60*time.Second, 50*time.Millisecond)
	return last
}

// exec changes rows as nobody can through the API.
func (s shop) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.sql.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// key is a key of ada's that may call the models, and that LiteLLM has.
func (s shop) key(t *testing.T, llms ...string) models.Key {
	t.Helper()
	k := storetest.Key(t, s.Store, s.user(t, "ada@example.com").ID, nil, llms...)
	run, err := workflows.Start(t.Context(), s.Temporal, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID, New: true})
	require.NoError(t, err)
	_, err = run.Wait(t.Context(), 30*time.Second)
	require.NoError(t, err)
	require.ElementsMatch(t, llms, s.held(t, k))
	return k
}

// held are the models that LiteLLM lets a key call; nil: it has no such key.
func (s shop) held(t *testing.T, k models.Key) []string {
	t.Helper()
	seen, err := s.llm.Key(t.Context(), k.Hash)
	if models.KindOf(err) == models.NotFound {
		return nil
	}
	require.NoError(t, err)
	require.NotEmpty(t, seen.Models, "none is every model")
	return seen.Models
}

// exhaust uses up the quota of ada's subscription to a model, and has LiteLLM follow.
func (s shop) exhaust(t *testing.T, model string) {
	t.Helper()
	cascades, err := s.Store.RecordUsage(t.Context(), []models.Usage{{
		UserID: s.user(t, "ada@example.com").ID, ModelID: model, Requests: models.DefaultQuotaRequests, At: time.Now(),
	}}, models.System("test"))
	require.NoError(t, err)
	for _, c := range cascades {
		run, err := workflows.Start(t.Context(), s.Temporal, workflows.EndSubscription, workflows.EndSubscriptionInput{CascadeID: c.ID})
		require.NoError(t, err)
		_, err = run.Wait(t.Context(), 30*time.Second)
		require.NoError(t, err)
	}
}

// history are the statuses that a subscription has had.
func (s shop) history(t *testing.T, path string) (statuses []string) {
	t.Helper()
	changes, err := s.Store.SubscriptionHistory(t.Context(), uuid.MustParse(path[len(path)-36:]))
	require.NoError(t, err)
	for _, c := range changes {
		statuses = append(statuses, string(c.NewStatus))
	}
	return statuses
}
