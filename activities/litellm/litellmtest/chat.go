package litellmtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// llmCall is the body of a call of a model.
type llmCall struct {
	Model         json.RawMessage
	Messages      *[]message
	Input         json.RawMessage
	MaxTokens     *int64 `json:"max_tokens"`
	Stream        bool
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	model  string
	text   int64 // characters
	prompt int64 // tokens

	limits     []limit     // of the caller
	deployment *Deployment // that answers
}

type message struct {
	Role    string
	Content json.RawMessage // a text, or parts of which some are texts
}

// text is what the message says.
func (m message) text() string {
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	_ = json.Unmarshal(m.Content, &parts) // an image counts nothing
	for _, part := range parts {
		text += part.Text
	}
	return text
}

// tokensIn is about how many tokens a text has.
func tokensIn(text string) int64 { return int64(utf8.RuneCountInString(text)+3) / 4 }

// estimate is how many tokens LiteLLM thinks that the call will need, where least is the
// tightest limit.
func (c *llmCall) estimate(least int64) int64 {
	in := max(1, c.text/4)
	switch {
	case c.Messages == nil:
		return in
	case c.MaxTokens != nil:
		return in + *c.MaxTokens
	}
	return in + max(in, min(1024, max(1, least/4)))
}

// chat is POST /chat/completions.
func (p *Proxy) chat(r *request) answer {
	c, err := p.admitCall(r, "/chat/completions", "messages")
	if err != nil {
		return err
	}
	d := c.deployment
	said, _ := d.Params["mock_response"].(string)
	if said == "" {
		said = "Hello from " + d.Name + "."
	}
	u := usage{Prompt: c.prompt, Completion: tokensIn(said), Total: c.prompt + tokensIn(said)}
	cost := d.cost(inputPrice)*float64(u.Prompt) + d.cost(outputPrice)*float64(u.Completion)
	p.charge(r, c.limits, u.Total, cost)
	id := "chatcmpl-" + uuid.NewString()
	p.answered(r, id, "acompletion", d, u, cost)
	if c.Stream {
		var told *usage
		if c.StreamOptions.IncludeUsage {
			told = &u
		}
		return stream{d.headers(cost), chunks(id, d.Name, said, r.now.Unix(), told)}
	}
	a := jsonAnswer(http.StatusOK, object{
		"id": id, "created": r.now.Unix(), "model": d.Name, "object": "chat.completion", "usage": u,
		"choices": []object{{"finish_reason": "stop", "index": 0, "message": object{"content": said, "role": "assistant"}}},
	})
	a.header = d.headers(cost)
	return a
}

type usage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Total      int64 `json:"total_tokens"`
}

// headers say which deployment answered, and at what cost.
func (d *Deployment) headers(cost float64) http.Header {
	return http.Header{
		"X-Litellm-Call-Id": {uuid.NewString()}, "X-Litellm-Model-Id": {d.ID}, "X-Litellm-Model-Group": {d.Name},
		"X-Litellm-Version": {Version}, "X-Litellm-Response-Cost": {pythonFloat(cost)},
	}
}

// admitCall reads the body of a call of a model and checks, in LiteLLM's order, whether the
// caller may make it. It needs the field that a call cannot do without.
func (p *Proxy) admitCall(r *request, path, needs string) (*llmCall, answer) {
	k := r.who.key
	if k != nil {
		k = p.keyNow(k.Token, r.now)
		if err := p.exhausted(p.limitsOf(k, "", r.now), r.now); err != nil {
			return nil, err // before the body is read
		}
	}
	c, err := readCall(r)
	if err != nil {
		return nil, err
	}
	group := p.router.named(c.model)
	if k != nil {
		c.limits = p.limitsOf(k, c.model, r.now)
		free := len(group) > 0 && group[0].free()
		if err := p.allow(k, c, free, r.now); err != nil {
			return nil, err
		}
	}
	bad := func(message string, param any) answer {
		return proxyError(http.StatusBadRequest, path+": "+message, "invalid_request_error", param)
	}
	switch {
	case needs == "messages" && c.Messages == nil, needs == "input" && c.Input == nil:
		return nil, bad("Missing required parameter: '"+needs+"'.", needs)
	case len(group) == 0:
		return nil, bad("Invalid model name passed in model="+cmp.Or(c.model, "None")+". Call `/v1/models` to view available models for your key.", nil)
	}
	c.deployment = group[0]
	return c, nil
}

// allow refuses a key that may not make a call, and counts the call of one that may.
func (p *Proxy) allow(k *key, c *llmCall, free bool, now time.Time) answer {
	if err := p.mayCall(k, c.model, now); err != nil {
		return err
	}
	if !free {
		if err := p.overBudget(k, now); err != nil {
			return err
		}
	}
	return p.reserve(c.limits, c, now)
}

// mayCall refuses a model that the key or its user is not for.
func (p *Proxy) mayCall(k *key, model string, now time.Time) answer {
	refuse := func(typ string) answer {
		return proxyError(http.StatusForbidden, "The requested model '"+model+"' is not available for this API key, or the model name is invalid. Check the models available to you and try again.", typ, "model")
	}
	if model == "" {
		return nil
	}
	if !k.mayCall(model) {
		return refuse("key_model_access_denied")
	}
	if u := p.userNow(deref(k.UserID), now); u != nil && !covers(u.Models, model) {
		return refuse("user_model_access_denied")
	}
	return nil
}

func readCall(r *request) (*llmCall, answer) {
	if !json.Valid(r.body) {
		return nil, proxyError(http.StatusBadRequest, "Invalid JSON payload: unexpected character, expected a JSON value: line 1 column 1 (char 0)", "invalid_request_error", "request_body")
	}
	var c llmCall
	if json.Unmarshal(r.body, &c) != nil {
		return nil, internalError
	}
	if c.Model != nil && json.Unmarshal(c.Model, &c.model) != nil {
		return nil, proxyError(http.StatusBadRequest, "'model' must be a string.", typeBad, "model")
	}
	if c.Messages != nil {
		for _, m := range *c.Messages {
			text := m.text()
			c.text += int64(len(text))
			c.prompt += 3 + tokensIn(text)
		}
	}
	return &c, nil
}

// free reports whether the deployment costs nothing.
func (d *Deployment) free() bool {
	return d.cost(inputPrice) == 0 && d.cost(outputPrice) == 0
}

// stream is an answer that comes in pieces.
type stream struct {
	header http.Header
	events [][]byte
}

func (a stream) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	for _, event := range a.events {
		if _, err := fmt.Fprintf(w, "data: %s\n\n", event); err != nil {
			return // who hung up misses the rest
		}
		_ = out.Flush() // a writer that cannot flush sends all at the end
	}
}

// chunks are the events of a streamed chat; u is nil when nobody asked for it.
func chunks(id, model, said string, now int64, u *usage) [][]byte {
	var out [][]byte
	add := func(choice object, u *usage) {
		choice["index"] = 0
		e := object{"id": id, "object": "chat.completion.chunk", "created": now, "model": model, "choices": []object{choice}}
		if u != nil {
			e["usage"] = u
		}
		out = append(out, jsonAnswer(http.StatusOK, e).body)
	}
	delta := object{"role": "assistant"}
	for piece := range slices.Chunk([]rune(said), 3) {
		delta["content"] = string(piece)
		add(object{"delta": delta}, nil)
		delta = object{}
	}
	add(object{"delta": object{}, "finish_reason": "stop"}, nil)
	if u != nil {
		add(object{"delta": object{}}, u)
	}
	return append(out, []byte("[DONE]"))
}

// embed is POST /embeddings. Equal texts have equal vectors.
func (p *Proxy) embed(r *request) answer {
	c, err := p.admitCall(r, "/embeddings", "input")
	if err != nil {
		return err
	}
	d := c.deployment
	var inputs []json.RawMessage // texts, or each a list of tokens
	if json.Unmarshal(c.Input, &inputs) != nil || len(inputs) > 0 && !strings.ContainsRune(`"[`, rune(inputs[0][0])) {
		inputs = []json.RawMessage{c.Input}
	}
	length, _ := strconv.Atoi(fmt.Sprint(d.Info["output_vector_size"]))
	length = max(length, 8)
	var u usage
	data := make([]object, len(inputs))
	for i, input := range inputs {
		u.Prompt += tokensIn(string(input))
		data[i] = object{"object": "embedding", "index": i, "embedding": vector(input, length)}
	}
	u.Total = u.Prompt
	cost := d.cost(inputPrice) * float64(u.Prompt)
	p.charge(r, c.limits, u.Total, cost)
	p.answered(r, uuid.NewString(), "aembedding", d, u, cost)
	a := jsonAnswer(http.StatusOK, object{"model": d.Name, "data": data, "object": "list", "usage": u})
	a.header = d.headers(cost)
	return a
}

// vector is one that stands for the text.
func vector(text []byte, length int) []float64 {
	sum := fnv.New64a()
	_, _ = sum.Write(text) // a hash takes everything
	out := make([]float64, length)
	for i := range out {
		_, _ = sum.Write([]byte{byte(i), byte(i >> 8)})
		out[i] = float64(int32(sum.Sum64()>>32)) / (1 << 31)
	}
	return out
}
