package litellmtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// entry is the deployment as LiteLLM lists it.
func (d *Deployment) entry(direct bool) object {
	params := maps.Clone(d.Params)
	if params == nil {
		params = object{}
	}
	delete(params, "api_key")
	params["model"] = d.Model
	for _, name := range []string{"use_xai_oauth", "use_litellm_proxy", "use_in_pass_through", "allow_client_keepalive_override", "merge_reasoning_content_in_choices"} {
		params[name] = false
	}
	info := object{
		"key": strings.TrimPrefix(d.Model, "openai/"), "litellm_provider": d.provider(), "member_auto_router": false,
		"supported_openai_params": []string{"frequency_penalty", "logit_bias", "logprobs"},
		// LiteLLM gives some 150 fields of which it knows nothing as null; these stand for them.
		"input_cost_per_token_batches": nil, "output_cost_per_token_batches": nil, "cache_read_input_token_cost": nil,
		"output_vector_size": nil, "supports_reasoning": nil, "supports_audio_input": nil, "tpm": nil, "rpm": nil,
		"input_cost_per_token": d.price(inputPrice), "output_cost_per_token": d.price(outputPrice),
	}
	if direct {
		info["direct_access"] = true
	}
	if d.DB {
		info["blocked"] = false
	}
	maps.Copy(info, d.Info)
	for _, name := range []string{inputPrice, outputPrice} {
		info[name] = d.price(name)
	}
	info["id"], info["db_model"] = d.ID, d.DB
	return object{"model_name": d.Name, "litellm_params": params, "model_info": info}
}

// provider is the first part of the model.
func (d *Deployment) provider() string {
	provider, _, ok := strings.Cut(d.Model, "/")
	if !ok {
		return "unknown"
	}
	return provider
}

// row is the deployment as LiteLLM's writes answer it: encrypted, and with the id of its
// model_info, which need not be its own.
func (d *Deployment) row(r *request, infoID string) object {
	params := object{"model": encrypted(d.Model)}
	for name, value := range d.Params {
		if text, ok := value.(string); ok {
			value = encrypted(text)
		}
		params[name] = value
	}
	info := object{"db_model": false, "member_auto_router": false}
	maps.Copy(info, d.Info)
	info["id"] = infoID
	return object{
		"model_id": d.ID, "model_name": d.Name, "litellm_params": params, "model_info": info, "blocked": false,
		"created_at": at(&r.now), "created_by": "default_user_id", "updated_at": at(&r.now), "updated_by": "default_user_id",
	}
}

func encrypted(text string) string {
	sum := sha256.Sum256([]byte("salt" + text))
	return base64.URLEncoding.EncodeToString(sum[:])
}

// modelBody is the body of /model/new and of a patch.
type modelBody struct {
	Name   string         `json:"model_name"`
	Params map[string]any `json:"litellm_params"`
	Info   map[string]any `json:"model_info"`
}

// readModel reads a body; numbers stay as they were written.
func readModel(r *request) (b modelBody, err answer) {
	if err := jsonBody(r); err != nil {
		return b, err
	}
	dec := json.NewDecoder(strings.NewReader(string(r.body)))
	dec.UseNumber()
	if bad := dec.Decode(&b); bad != nil {
		return b, unprocessable(problem("model_attributes_type", "Input should be a valid dictionary or object to extract fields from", "body"))
	}
	for _, m := range []map[string]any{b.Params, b.Info} {
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil }) // ignored
	}
	return b, nil
}

func (p *Proxy) newModel(r *request) answer {
	b, err := readModel(r)
	if err != nil {
		return err
	}
	if b.Name == "" || b.Params == nil {
		return internalError
	}
	model, _ := b.Params["model"].(string)
	if model == "" {
		return unprocessable(problem("missing", "Field required", "body", "litellm_params", "model"))
	}
	d := &Deployment{Name: b.Name, Model: model, Params: b.Params, Info: b.Info, DB: true}
	if d.ID, _ = b.Info["id"].(string); d.ID == "" {
		d.ID = uuid.NewString()
	}
	d.tidy()
	if p.stored[d.ID] != nil {
		return pythonError(http.StatusInternalServerError, "Failed to add model to db. Check your server logs for more details.", typeAuth, "None")
	}
	p.stored[d.ID] = d
	if p.unserved > 0 {
		p.unserved--
		return proxyError(http.StatusInternalServerError, fmt.Sprintf(noSave, d.ID), typeInternal, nil)
	}
	p.router.put(d) // in place of one of config.yaml, if need be
	return jsonAnswer(http.StatusOK, d.row(r, d.ID))
}

// tidy takes out of the maps what has a field of its own, and what is secret.
func (d *Deployment) tidy() {
	delete(d.Params, "model")
	delete(d.Params, "api_key") // nobody is called with it
	delete(d.Info, "id")
	delete(d.Info, "db_model")
}

func (p *Proxy) patchModel(r *request) answer {
	b, err := readModel(r)
	if err != nil {
		return err
	}
	old := p.stored[r.part]
	switch {
	case old == nil && p.router.byID[r.part] != nil:
		return proxyError(http.StatusBadRequest, "Cannot edit config-based model. Store model in DB via /model/new first.", "validation_error", nil)
	case old == nil:
		return proxyError(http.StatusNotFound, "Model "+r.part+" not found on proxy.", typeNotFound, nil)
	}
	d := *old
	d.Params, d.Info = maps.Clone(d.Params), maps.Clone(d.Info)
	if d.Params == nil {
		d.Params = object{}
	}
	if d.Info == nil {
		d.Info = object{}
	}
	maps.Copy(d.Params, b.Params)
	maps.Copy(d.Info, b.Info)
	if b.Name != "" {
		d.Name = b.Name
	}
	if model, ok := b.Params["model"].(string); ok {
		d.Model = model
	}
	infoID, named := b.Info["id"].(string)
	switch {
	case b.Info == nil:
		infoID = d.ID
	case !named:
		infoID = uuid.NewString() // LiteLLM's default for a model_info
	}
	d.tidy()
	p.stored[d.ID] = &d
	if p.router.byID[d.ID] != nil {
		p.router.put(&d) // at the end
	}
	return jsonAnswer(http.StatusOK, d.row(r, infoID))
}

func (p *Proxy) deleteModel(r *request) answer {
	var in struct{ ID *string }
	if err := jsonBody(r); err != nil {
		return err
	}
	if json.Unmarshal(r.body, &in) != nil || in.ID == nil {
		return unprocessable(problem("missing", "Field required", "body", "id"))
	}
	if p.stored[*in.ID] == nil {
		return pythonError(http.StatusBadRequest, "Model with id="+*in.ID+" not found in db", typeAuth, "None")
	}
	delete(p.stored, *in.ID)
	p.router.drop(*in.ID)
	return jsonAnswer(http.StatusOK, object{"message": "Model: " + *in.ID + " deleted successfully"})
}
