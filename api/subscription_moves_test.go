package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// ways bring ada's subscription to a model, which is active, to each of the seven statuses.
var ways = map[models.SubscriptionStatus]func(t *testing.T, s shop, model, id string){
	models.SubscriptionActive: func(*testing.T, shop, string, string) {},
	models.SubscriptionPending: func(t *testing.T, s shop, _, id string) {
		t.Helper()
		s.revert(t, id, "pending").is(http.StatusOK)
	},
	models.SubscriptionDenied: func(t *testing.T, s shop, _, id string) {
		t.Helper()
		s.decide(t, s.root, "deny", id).is(http.StatusOK)
	},
	models.SubscriptionSuspended: func(t *testing.T, s shop, model, _ string) {
		t.Helper()
		s.exhaust(t, model)
	},
	models.SubscriptionInactive: func(t *testing.T, s shop, _, id string) {
		t.Helper()
		s.by(t, s.ada, http.MethodPost, "/api/v1/subscriptions/"+id+"/cancel", "").is(http.StatusOK)
	},
	models.SubscriptionExpired: func(t *testing.T, s shop, _, id string) {
		t.Helper()
		s.exec(t, "UPDATE subscriptions SET expires_at = now() - interval '1 second' WHERE id = $1", id)
		n, _, err := s.Store.ExpireSubscriptions(t.Context(), 10, models.System("Expire"))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	},
	models.SubscriptionCancelled: func(t *testing.T, s shop, _, id string) { // as LiteMaaS left it
		t.Helper()
		s.exec(t, "UPDATE subscriptions SET status = 'cancelled' WHERE id = $1", id)
	},
}

func (s shop) revert(t *testing.T, id, to string) reply {
	t.Helper()
	return s.by(t, s.root, http.MethodPost, "/api/v1/admin/subscriptions/"+id+"/revert", fmt.Sprintf(`{"newStatus": %q, "reason": "because"}`, to))
}

// move is a request that could move ada's subscription.
type move struct {
	name string
	ask  func(t *testing.T, s shop, model, id string) reply
}

func (s shop) mine(t *testing.T, method, id, rest, body string) reply {
	t.Helper()
	return s.by(t, s.ada, method, "/api/v1/subscriptions/"+id+rest, body)
}

var moves = []move{
	{"subscribe", func(t *testing.T, s shop, model, _ string) reply { return s.subscribe(t, s.ada, model) }},
	{"quota", func(t *testing.T, s shop, _, id string) reply {
		return s.mine(t, http.MethodPatch, id, "", `{"quotaTokens": 2000000}`)
	}},
	{"cancel", func(t *testing.T, s shop, _, id string) reply { return s.mine(t, http.MethodPost, id, "/cancel", "") }},
	{"review", func(t *testing.T, s shop, _, id string) reply {
		return s.mine(t, http.MethodPost, id, "/request-review", "")
	}},
	{"approve", func(t *testing.T, s shop, _, id string) reply { return s.decide(t, s.root, "approve", id) }},
	{"deny", func(t *testing.T, s shop, _, id string) reply { return s.decide(t, s.root, "deny", id) }},
	{"to active", func(t *testing.T, s shop, _, id string) reply { return s.revert(t, id, "active") }},
	{"to denied", func(t *testing.T, s shop, _, id string) reply { return s.revert(t, id, "denied") }},
	{"to pending", func(t *testing.T, s shop, _, id string) reply { return s.revert(t, id, "pending") }},
	{"give", func(t *testing.T, s shop, model, _ string) reply { return s.give(t, model) }},
	{"delete", func(t *testing.T, s shop, _, id string) reply {
		return s.by(t, s.root, http.MethodDelete, "/api/v1/admin/subscriptions/"+id, `{"reason": "because"}`)
	}},
}

// give subscribes ada to models, as an admin.
func (s shop) give(t *testing.T, llms ...string) reply {
	t.Helper()
	return s.by(t, s.root, http.MethodPost, "/api/v1/admin/users/"+s.user(t, "ada@example.com").ID.String()+"/subscriptions", `{"modelIds": `+list(llms)+`}`)
}

// transitions are all that one can ask for, and all that is refused: from each status by each
// request. A cell is the status of the answer, and the subscription's after it; - is no change.
// What is decided for several at once is 200, and counts what failed.
const transitions = `
            subscribe    quota   cancel        review       approve     deny        to active   to denied   to pending   give        delete
  active    409 -        200 -   200 inactive  400 -        200 -       200 denied  400 -       200 denied  200 pending  201 -       200 gone
  pending   409 -        200 -   200 inactive  200 -        200 active  200 denied  200 active  200 denied  400 -        201 active  200 gone
  denied    409 -        400 -   200 inactive  200 pending  200 -       200 -       200 active  400 -       200 pending  201 active  200 gone
  suspended 409 -        403 -   200 inactive  400 -        200 -       200 -       400 -       400 -       400 -        409 -       200 gone
  inactive  201 active   400 -   400 -         400 -        200 -       200 -       400 -       400 -       400 -        201 active  200 gone
  expired   201 active   400 -   400 -         400 -        200 -       200 -       400 -       400 -       400 -        201 active  200 gone
  cancelled 201 active   400 -   400 -         400 -        200 -       200 -       400 -       400 -       400 -        201 active  200 gone
`

func TestEveryTransition(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(transitions), "\n")[1:]
	require.Len(t, lines, len(models.SubscriptionStatuses()))
	var names []string
	for i := range len(lines) * len(moves) {
		names = append(names, fmt.Sprintf("model-%d", i))
	}
	s := open(t, names...)
	for _, line := range lines {
		cells := strings.Fields(line)
		from := models.SubscriptionStatus(cells[0])
		require.Len(t, cells[1:], 2*len(moves))
		for i, m := range moves {
			model := names[0]
			names = names[1:]
			t.Run(cells[0]+" "+m.name, func(t *testing.T) {
				id := s.arrives(t, model, from)
				before := s.history(t, "/api/v1/subscriptions/"+id)
				rep := m.ask(t, s, model, id).is(atoi(t, cells[1+2*i]))
				s.arrived(t, rep, m, id, from, cells[2+2*i], before)
			})
		}
	}
}

// arrives makes a subscription of ada's that has the status, and returns its id.
func (s shop) arrives(t *testing.T, model string, status models.SubscriptionStatus) string {
	t.Helper()
	id := id(s.subscribe(t, s.ada, model).is(http.StatusCreated))
	ways[status](t, s, model, id)
	require.EqualValues(t, status, s.mine(t, http.MethodGet, id, "", "").is(http.StatusOK).at("status"))
	return id
}

// arrived requires that a move went to a status, with a line in the history, or was refused and
// left no trace.
func (s shop) arrived(t *testing.T, rep reply, m move, id string, from models.SubscriptionStatus, to string, before []string) {
	t.Helper()
	now := s.mine(t, http.MethodGet, id, "", "")
	switch to {
	case "gone":
		now.problem(http.StatusNotFound, "NOT_FOUND")
		require.Equal(t, map[string]any{"success": true, "settled": true}, rep.body())
		return
	case "-":
		require.EqualValues(t, from, now.is(http.StatusOK).at("status"))
		require.Equal(t, before, s.history(t, own(now)), "nothing is written down that did not happen")
	default:
		require.Equal(t, to, now.is(http.StatusOK).at("status"))
		require.Equal(t, true, now.at("settled"))
		after := s.history(t, own(now))
		require.Greater(t, len(after), len(before))
		require.Equal(t, to, after[len(after)-1])
	}
	switch {
	case m.name == "approve" || m.name == "deny":
		require.Equal(t, to == "-", rep.at("failed") == 1.0, rep.Body)
		require.Equal(t, to != "-", rep.at("successful") == 1.0, rep.Body)
	case rep.Code == http.StatusConflict && m.name == "subscribe":
		require.Equal(t, "modelId", rep.problem(http.StatusConflict, "ALREADY_EXISTS"))
		require.Contains(t, rep.at("message"), string(from), "the status is named")
	case rep.Code == http.StatusBadRequest:
		require.NotEmpty(t, rep.problem(http.StatusBadRequest, "VALIDATION_ERROR"))
		require.Contains(t, rep.at("message"), string(from), "the status is named")
	case m.name != "give" && rep.Code == http.StatusOK:
		require.Equal(t, now.at("status"), rep.at("status"))
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}
