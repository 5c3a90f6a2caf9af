package litellmtest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Call is a call of a model as LiteLLM notes it down. It is not kept in the state file.
type Call struct {
	ID, CallID     string // the request id, and the one that a caller may choose
	Type           string // acompletion or aembedding, or the path of another request that was refused
	Key            string // the hash of the key, or what LiteLLM has instead
	Alias          *string
	UserID, TeamID string
	Group          string // the name that was called; empty: of no model
	Model          string // LiteLLM's own: provider/name, or what the caller wrote
	ModelID        string
	Start, End     time.Time
	Prompt         int64
	Completion     int64
	Cost           float64
	CacheHit       bool
	Status         int    // of the refusal; 0: it was answered
	Error          string // of it
}

// maxCalls is how many calls are remembered.
const maxCalls = 100_000

// masterKey is what LiteLLM notes down as the key of who has the master key.
const masterKey = "litellm_proxy_master_key"

// provider is who served the call.
func (c Call) provider() string {
	provider, _, known := strings.Cut(c.Model, "/")
	if !known || c.Group == "" {
		return ""
	}
	return provider
}

// status is how it ended.
func (c Call) status() string {
	if c.Status == 0 {
		return "success"
	}
	return "failure"
}

// Log adds calls to the log, as if they had been made, and pushes them if they are to be pushed.
func (p *Proxy) Log(calls ...Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range calls {
		p.noteCall(c)
	}
}

// Logged returns the calls in the log, in the order in which they ended.
func (p *Proxy) Logged() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// noteCall puts a call into the log, and on the way to who is told of them.
func (p *Proxy) noteCall(c Call) {
	if p.calls = append(p.calls, c); len(p.calls) > maxCalls {
		p.calls = slices.Clone(p.calls[len(p.calls)-maxCalls:])
	}
	p.push.add(c)
}

// answered notes down a call that a deployment answered.
func (p *Proxy) answered(r *request, id, typ string, d *Deployment, u usage, cost float64) {
	c := p.begunCall(r, typ)
	c.ID, c.Group, c.Model, c.ModelID = id, d.Name, d.Model, d.ID
	c.Prompt, c.Completion, c.Cost = u.Prompt, u.Completion, cost
	p.noteCall(c)
}

// begunCall is what is known of a call before it is known what becomes of it.
func (p *Proxy) begunCall(r *request, typ string) Call {
	c := Call{CallID: cmp.Or(r.Header.Get("x-litellm-call-id"), uuid.NewString()), Type: typ, Start: r.now, End: time.Now().UTC().Truncate(time.Millisecond)}
	presented, _ := presentedKey(r.Header)
	switch k := r.who.key; {
	case k != nil:
		c.Key, c.Alias, c.UserID, c.TeamID = k.Token, k.Alias, deref(k.UserID), deref(k.TeamID)
	case presented == p.master:
		c.Key, c.UserID = masterKey, "default_user_id"
	default:
		c.Key = tokenOf(presented)
		if k := p.keys[c.Key]; k != nil {
			c.Alias, c.UserID, c.TeamID = k.Alias, deref(k.UserID), deref(k.TeamID)
		}
	}
	return c
}

// callTypes are what LiteLLM calls the calls of models.
var callTypes = map[string]string{
	"/chat/completions": "acompletion", "/v1/chat/completions": "acompletion",
	"/embeddings": "aembedding", "/v1/embeddings": "aembedding",
}

// refused notes down a call of a model that was refused, and any other request whose key was.
func (p *Proxy) refused(rt route, r *request, a answer) {
	said, ok := a.(plain)
	typ := callTypes[rt.path]
	if !ok || said.status < 400 || typ == "" && said.status != http.StatusUnauthorized {
		return
	}
	var asked struct{ Model string }
	var told struct{ Error struct{ Message string } }
	_ = json.Unmarshal(r.body, &asked) // a body may be anything
	_ = json.Unmarshal(said.body, &told)
	c := p.begunCall(r, cmp.Or(typ, r.URL.Path))
	c.ID = uuid.NewString()
	c.CallID, c.Model, c.Status, c.Error = c.ID, asked.Model, said.status, told.Error.Message
	if group := p.router.named(asked.Model); len(group) > 0 {
		c.Group, c.Model, c.ModelID = asked.Model, group[0].Model, group[0].ID
	}
	p.noteCall(c)
}
