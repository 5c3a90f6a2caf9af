package litellmtest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Deployment is one entry of the model list.
type Deployment struct {
	ID     string         // model_info.id
	Name   string         // model_name; several may share it
	Model  string         // litellm_params.model: provider/name
	Params map[string]any // the rest of litellm_params
	Info   map[string]any // the rest of model_info
	DB     bool           // kept in LiteLLM's database, so that it can be changed and deleted; else of config.yaml
}

// router is what the proxy serves. Its deployments and lists are never changed, only replaced,
// so that an answer can be written without the lock.
type router struct {
	byID  map[string]*Deployment
	place map[string]int // in LiteLLM's order, by id
	last  int

	list, sorted []*Deployment // nil: to be made anew, like byName
	byName       map[string][]*Deployment
}

func newRouter(size int) router {
	return router{byID: make(map[string]*Deployment, size), place: make(map[string]int, size)}
}

// put adds a deployment at the end, and takes out the one with its id.
func (s *router) put(d *Deployment) {
	s.last++
	s.byID[d.ID], s.place[d.ID] = d, s.last
	s.list, s.byName, s.sorted = nil, nil, nil
}

func (s *router) drop(id string) {
	delete(s.byID, id)
	delete(s.place, id)
	s.list, s.byName, s.sorted = nil, nil, nil
}

// all is in LiteLLM's order.
func (s *router) all() []*Deployment {
	if s.list == nil {
		s.list = slices.SortedFunc(maps.Values(s.byID), func(a, b *Deployment) int { return s.place[a.ID] - s.place[b.ID] })
	}
	return s.list
}

func (s *router) named(name string) []*Deployment {
	if s.byName == nil {
		s.byName = make(map[string][]*Deployment, len(s.byID))
		for _, d := range s.all() {
			s.byName[d.Name] = append(s.byName[d.Name], d)
		}
	}
	return s.byName[name]
}

func (s *router) byLowerName() []*Deployment {
	if s.sorted == nil {
		s.sorted = sortByName(s.all())
	}
	return s.sorted
}

func sortByName(list []*Deployment) []*Deployment {
	return slices.SortedStableFunc(slices.Values(list), func(a, b *Deployment) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
}

// serve replaces what the router has.
func (p *Proxy) serve(catalogue []Deployment) {
	p.router, p.stored = newRouter(len(catalogue)), map[string]*Deployment{}
	for i := range catalogue {
		p.keep(&catalogue[i])
	}
}

// SetDeployments replaces the whole model list.
func (p *Proxy) SetDeployments(list []Deployment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve(slices.Clone(list))
}

// Deployments returns the model list in LiteLLM's order.
func (p *Proxy) Deployments() []Deployment {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Deployment, 0, len(p.router.byID))
	for _, d := range p.router.all() {
		out = append(out, *d)
	}
	return out
}

// AddDeployment adds a deployment, or replaces the one with its ID.
func (p *Proxy) AddDeployment(d Deployment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(&d)
}

func (p *Proxy) keep(d *Deployment) {
	p.router.put(d)
	if d.DB {
		p.stored[d.ID] = d
	}
}

// ChangeDeployment changes a deployment and moves it to the end of the list, where LiteLLM
// puts what was changed. It reports whether there is one with the id.
func (p *Proxy) ChangeDeployment(id string, change func(*Deployment)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.router.byID[id]
	if old == nil {
		return false
	}
	d := *old
	d.Params, d.Info = maps.Clone(d.Params), maps.Clone(d.Info)
	change(&d)
	p.keep(&d)
	return true
}

// RemoveDeployments takes deployments out of the list.
func (p *Proxy) RemoveDeployments(ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		delete(p.stored, id)
		p.router.drop(id)
	}
}

// StoreOnly makes the next n calls of /model/new store the model and answer 500, as LiteLLM
// does when it cannot serve it at once. Reload serves it.
func (p *Proxy) StoreOnly(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unserved = n
}

// Reload serves every stored model, as LiteLLM does every 30 s.
func (p *Proxy) Reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.stored)) {
		if p.router.byID[id] == nil {
			p.router.put(p.stored[id])
		}
	}
}

// served is what the proxy says it serves.
func (p *Proxy) served() []*Deployment {
	if p.listing != ListAll {
		return nil
	}
	return p.router.all()
}

// modelInfo is GET /model/info: the whole list, or one entry of it.
func (p *Proxy) modelInfo(r *request) answer {
	if p.listing == ListNotLoaded || p.old && len(p.served()) == 0 {
		return detail(http.StatusInternalServerError, object{
			"error": "LLM Model List not loaded in. Make sure you passed models in your config.yaml or on the LiteLLM Admin UI. - https://docs.litellm.ai/docs/proxy/configs",
		})
	}
	list := p.served()
	if id := r.URL.Query().Get("litellm_model_id"); id != "" {
		d := p.router.byID[id]
		if d == nil || p.listing != ListAll {
			return detail(http.StatusBadRequest, object{"error": "Model id = " + id + " not found on litellm proxy"})
		}
		return entries{list: []*Deployment{d}, direct: true}
	}
	if r.who.key != nil && !r.who.key.mayCallAll() {
		list = slices.DeleteFunc(slices.Clone(list), func(d *Deployment) bool { return !r.who.key.mayCall(d.Name) })
	}
	return entries{list: list, direct: true}
}

// modelInfoV2 is GET /v2/model/info: the list in pages, filtered and sorted.
func (p *Proxy) modelInfoV2(r *request) answer {
	query := r.URL.Query()
	if order := query.Get("sortOrder"); query.Get("sortBy") != "" && !slices.Contains([]string{"", "asc", "desc"}, strings.ToLower(order)) {
		return detail(http.StatusBadRequest, "Invalid sortOrder: "+order+". Must be 'asc' or 'desc'")
	}
	list := p.filtered(query)
	page, err := pages(r, "size", 50, 0, len(list))
	if err != nil {
		return err
	}
	return entries{
		list: list[page.from:page.to],
		rest: fmt.Sprintf(`,"total_count":%d,"current_page":%d,"total_pages":%d,"size":%d`, page.total, page.number, page.pages, page.size),
	}
}

func (p *Proxy) filtered(query map[string][]string) []*Deployment {
	get := func(name string) string {
		if v := query[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	list := p.served()
	byName := get("sortBy") == "model_name"
	switch id, model := get("modelId"), get("model"); {
	case len(list) == 0:
		return nil
	case id != "":
		if d := cmp.Or(p.router.byID[id], p.stored[id]); d != nil {
			return []*Deployment{d}
		}
		return nil
	case model != "":
		list = p.router.named(model)
	case byName && get("search") == "":
		list = p.router.byLowerName()
	}
	if search := strings.ToLower(strings.TrimSpace(get("search"))); search != "" {
		var found []*Deployment
		for _, d := range list {
			if strings.Contains(strings.ToLower(d.Name), search) || strings.Contains(strings.ToLower(d.Model), search) {
				found = append(found, d)
			}
		}
		if list = found; byName {
			list = sortByName(found)
		}
	}
	if byName && strings.EqualFold(get("sortOrder"), "desc") {
		list = slices.Clone(list)
		slices.Reverse(list)
	}
	return list
}

// entries is an answer with deployments in it, encoded while it is written.
type entries struct {
	list   []*Deployment
	rest   string
	direct bool // the first version tells what the caller may reach
}

func (a entries) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	defer out.Flush()
	_, _ = out.WriteString(`{"data":[`) // a bufio.Writer keeps its first error
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i, d := range a.list {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		if err := enc.Encode(d.entry(a.direct)); err != nil {
			return // who hung up misses the rest
		}
	}
	_, _ = out.WriteString("]" + a.rest + "}")
}

// modelNames is GET /v1/models: what the caller may call.
func (p *Proxy) modelNames(r *request) answer {
	list := []object{}
	add := func(name string) {
		e := object{"id": name, "object": "model", "created": 1677610602, "owned_by": "openai"}
		if p.listing == ListAll {
			for _, d := range p.router.named(name)[:min(1, len(p.router.named(name)))] {
				for _, name := range []string{"mode", "max_input_tokens", "max_output_tokens"} {
					if v := d.Info[name]; v != nil {
						e[name] = v
					}
				}
			}
		}
		list = append(list, e)
	}
	if k := r.who.key; k != nil && !k.mayCallAll() {
		for _, name := range k.Models { // known or not
			add(name)
		}
		return jsonAnswer(http.StatusOK, object{"data": list, "object": "list"})
	}
	seen := map[string]bool{}
	for _, d := range p.served() {
		if !seen[d.Name] {
			seen[d.Name] = true
			add(d.Name)
		}
	}
	return jsonAnswer(http.StatusOK, object{"data": list, "object": "list"})
}

// modelGroups is GET /model_group/info: deployments by name, summed up.
func (p *Proxy) modelGroups(r *request) answer {
	groups := []object{}
	only, done := r.URL.Query().Get("model_group"), map[string]bool{}
	for _, d := range p.served() {
		if done[d.Name] || only != "" && only != d.Name {
			continue
		}
		done[d.Name] = true
		group := object{
			"model_group": d.Name, "providers": []string{d.provider()}, "mode": d.Info["mode"],
			"max_input_tokens": d.Info["max_input_tokens"], "max_output_tokens": d.Info["max_output_tokens"],
			"input_cost_per_token": d.price(inputPrice), "output_cost_per_token": d.price(outputPrice),
			"tpm": d.Params["tpm"], "rpm": d.Params["rpm"],
		}
		for _, feature := range []string{"vision", "function_calling", "parallel_function_calling"} {
			has, _ := d.Info["supports_"+feature].(bool)
			group["supports_"+feature] = has
		}
		groups = append(groups, group)
	}
	return jsonAnswer(http.StatusOK, object{"data": groups})
}

// price is what a token costs: what config.yaml or /model/new says of the deployment. With one
// price known, the other is zero.
func (d *Deployment) price(name string) any {
	said := func(name string) any {
		if v := d.Params[name]; v != nil {
			return v
		}
		return d.Info[name]
	}
	if said(inputPrice) != nil || said(outputPrice) != nil {
		return cmp.Or(said(name), any(0))
	}
	return nil
}

const (
	inputPrice  = "input_cost_per_token"
	outputPrice = "output_cost_per_token"
)

// cost is the price as a number.
func (d *Deployment) cost(name string) float64 {
	f, _ := strconv.ParseFloat(fmt.Sprint(d.price(name)), 64)
	return f
}
