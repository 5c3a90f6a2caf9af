package models

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Deployment is one entry of LiteLLM's model list, in LiteLLM's own words. Several may
// share a name: LiteLLM balances the load between them.
type Deployment struct {
	Name   string                     // model_name
	Params map[string]json.RawMessage // litellm_params
	Info   map[string]json.RawMessage // model_info
}

// Catalogue is a model list of LiteLLM, read.
type Catalogue struct {
	LLMs []LLM // by ID
	ListState
}

// ListState says how well a model list could be read. It decides what may be concluded from
// a model's absence.
type ListState struct {
	Listed    int         // models that LiteLLM lists, read or not
	Unread    []UnreadLLM // they are there, so nothing may be ended for their absence
	Nameless  int         // entries without a name that could be one: behind each may be any model
	NotLoaded bool        // LiteLLM said that its list is not loaded, which is not "no models"
}

// Problems says in words what could not be read.
func (l ListState) Problems() []string {
	out := []string{}
	if l.NotLoaded {
		out = append(out, "LiteLLM says that its model list is not loaded")
	}
	if l.Nameless > 0 {
		out = append(out, fmt.Sprintf("%d entries of LiteLLM's list have no usable name", l.Nameless))
	}
	for _, u := range l.Unread {
		out = append(out, u.ID+": "+u.Why)
	}
	return out
}

// maxName is the longest name we take, in bytes; it has to fit into an index of Postgres.
const maxName = 500

// UnreadLLM is a model that LiteLLM lists in a way we cannot read.
type UnreadLLM struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// NewCatalogue groups deployments by name and reads each group into one LLM, whatever
// order LiteLLM lists them in.
func NewCatalogue(list []Deployment) Catalogue {
	groups := make(map[string][]Deployment, len(list))
	var c Catalogue
	for _, d := range list {
		if d.Name == "" || len(d.Name) > maxName || strings.ContainsRune(d.Name, 0) {
			c.Nameless++
			continue
		}
		groups[d.Name] = append(groups[d.Name], d)
	}
	c.LLMs = make([]LLM, 0, len(groups))
	for name, group := range groups {
		llm, err := newLLM(name, group)
		if err != nil {
			c.Unread = append(c.Unread, UnreadLLM{ID: name, Why: err.Error()})
			continue
		}
		c.LLMs = append(c.LLMs, llm)
	}
	c.Listed = len(groups)
	slices.SortFunc(c.LLMs, func(a, b LLM) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Unread, func(a, b UnreadLLM) int { return cmp.Compare(a.ID, b.ID) })
	return c
}

// newLLM maps the deployments of one name (LiteMaaS, model-sync.service.ts:195-307). The
// deployment with the smallest id speaks for the model; beside it, the model promises no
// more than every deployment keeps: the highest price, the shortest context, the features
// all of them have. Limits add up, as LiteLLM spreads the load.
func newLLM(name string, group []Deployment) (LLM, error) {
	slices.SortFunc(group, func(a, b Deployment) int { return cmp.Compare(a.ID(), b.ID()) })
	llm, err := group[0].read()
	if err != nil {
		return llm, err
	}
	llm.ID, llm.Availability = name, ModelAvailable
	for _, d := range group[1:] {
		next, err := d.read()
		if err != nil {
			return llm, err
		}
		llm.DeploymentIDs = append(llm.DeploymentIDs, next.LiteLLMModelID)
		llm.ContextLength = least(llm.ContextLength, next.ContextLength)
		llm.MaxTokens = least(llm.MaxTokens, next.MaxTokens)
		llm.InputCost = dearest(llm.InputCost, next.InputCost)
		llm.OutputCost = dearest(llm.OutputCost, next.OutputCost)
		llm.TPM, llm.RPM = sum(llm.TPM, next.TPM), sum(llm.RPM, next.RPM)
		llm.Features = slices.DeleteFunc(llm.Features, func(f string) bool { return !slices.Contains(next.Features, f) })
	}
	return llm, nil
}

// read maps one deployment.
func (d Deployment) read() (LLM, error) {
	r := reader{d: d}
	model := r.text(d.Params, "model")
	provider, backend, split := strings.Cut(model, "/")
	if !split {
		provider, backend = "unknown", model
	}
	llm := LLM{
		Provider:         cmp.Or(r.text(d.Params, "custom_llm_provider"), provider),
		BackendModelName: backend,
		MaxTokens:        r.count(d.Info, "max_tokens"),
		InputCost:        r.price("input_cost_per_token"),
		OutputCost:       r.price("output_cost_per_token"),
		APIBase:          withoutLogin(r.text(d.Params, "api_base")),
		TPM:              r.count(d.Params, "tpm"),
		RPM:              r.count(d.Params, "rpm"),
		LiteLLMModelID:   d.ID(),
		DeploymentIDs:    []string{d.ID()},
		Features:         d.features(&r),
		ModelInfo:        r.keep(d.Info, func(key string) bool { return !slices.Contains(infoOfCaller, key) }),
		LiteLLMParams:    r.keep(d.Params, func(key string) bool { return slices.Contains(harmlessParams, key) }),
	}
	llm.ContextLength = llm.MaxTokens
	return llm, r.err
}

// ID is LiteLLM's id of the deployment, as text whatever its JSON type.
func (d Deployment) ID() string {
	var s string
	if json.Unmarshal(d.Info["id"], &s) == nil {
		return s
	}
	return strings.Trim(string(d.Info["id"]), `"`)
}

// features sorts out what the model can do: embeddings, convert or chat, only one of them,
// then the rest in LiteMaaS's order.
func (d Deployment) features(r *reader) []string {
	has := func(key string) bool { return r.flag(d.Info, key) }
	main := FeatureChat
	switch {
	case has("supports_embeddings"), r.text(d.Info, "mode") == "embedding":
		main = FeatureEmbeddings
	case has("supports_convert"):
		main = FeatureConvert
	}
	out := []string{main}
	for _, f := range []string{FeatureFunctionCalling, FeatureParallelFunctionCalling, FeatureToolChoice, FeatureVision, FeatureTokenize} {
		if has("supports_" + f) {
			out = append(out, f)
		}
	}
	return out
}

// infoOfCaller are the fields of model_info that say what the asking key may do: they
// change with teams and keys, not with the model.
var infoOfCaller = []string{"access_via_team_ids", "direct_access"}

// harmlessParams are the fields of litellm_params that we store. LiteLLM shows more than it
// should there, custom headers among it, so everything else stays out.
var harmlessParams = []string{
	"model", "custom_llm_provider", "api_version", "region_name", "aws_region_name", "vertex_location",
	"tpm", "rpm", "max_parallel_requests", "timeout", "stream_timeout", "max_retries", "weight", "order", "tags",
	"input_cost_per_token", "output_cost_per_token", "input_cost_per_second", "output_cost_per_second",
	"max_budget", "budget_duration", "drop_params",
}

// reader takes values out of a deployment and remembers the first that is not what it
// should be.
type reader struct {
	d   Deployment
	err error
}

func (r *reader) fail(key string, raw json.RawMessage, want string) {
	if r.err == nil {
		if len(raw) > 40 {
			raw = append(slices.Clone(raw[:40]), "…"...)
		}
		r.err = fmt.Errorf("deployment %s: %s is %s, not %s", r.d.ID(), key, raw, want)
	}
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func (r *reader) text(m map[string]json.RawMessage, key string) string {
	var s string
	if raw := m[key]; !absent(raw) && json.Unmarshal(raw, &s) != nil {
		r.fail(key, raw, "a text")
	}
	return s
}

func (r *reader) flag(m map[string]json.RawMessage, key string) bool {
	var b bool
	if raw := m[key]; !absent(raw) && json.Unmarshal(raw, &b) != nil {
		r.fail(key, raw, "true or false")
	}
	return b
}

// count reads a whole number; LiteLLM's configuration may hold it as 16384, 16384.0 or "16384".
func (r *reader) count(m map[string]json.RawMessage, key string) *int64 {
	raw := m[key]
	if absent(raw) {
		return nil
	}
	text := string(bytes.Trim(raw, `"`))
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(text, 64)
		n = int64(f)
		if ferr != nil || float64(n) != f {
			r.fail(key, raw, "a whole number")
			return nil
		}
	}
	if n < 0 {
		r.fail(key, raw, "zero or more")
		return nil
	}
	return &n
}

// price reads a unit price from model_info, else from litellm_params. Zero is a price.
func (r *reader) price(key string) *Price {
	raw := r.d.Info[key]
	if absent(raw) {
		raw = r.d.Params[key]
	}
	if absent(raw) {
		return nil
	}
	p, err := ParsePrice(string(bytes.Trim(raw, `"`)))
	if err != nil {
		r.fail(key, raw, "a price of zero or more")
		return nil
	}
	return &p
}

// keep returns the wanted fields as one JSON object, numbers as they were written.
func (r *reader) keep(m map[string]json.RawMessage, want func(key string) bool) json.RawMessage {
	out := make(map[string]json.RawMessage, len(m))
	for key, raw := range m {
		if !want(key) || absent(raw) {
			continue
		}
		if strings.Contains(key, "\x00") || bytes.Contains(raw, []byte(`\u0000`)) { // Postgres has no such character
			r.fail(strconv.Quote(key), raw, "free of NUL characters")
			return nil
		}
		out[key] = raw
	}
	b, err := json.Marshal(out)
	if err != nil {
		r.fail("entry", nil, "JSON")
	}
	return b
}

// withoutLogin takes user and password out of an address; one that cannot be read is left
// out whole, for it may hold them.
func withoutLogin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if u.User == nil {
		return address
	}
	u.User = nil
	return u.String()
}

func least(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil // one of them promises nothing
	}
	return new(min(*a, *b))
}

func sum(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil // unlimited
	}
	return new(*a + *b)
}

func dearest(a, b *Price) *Price {
	if a == nil || b != nil && b.Cmp(*a) > 0 {
		return b
	}
	return a
}
