package litellmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// product is a model that one may find at a LiteLLM, in a line.
type product struct {
	name, model     string
	window, most    int     // tokens in, tokens out
	input, output   float64 // dollars a million tokens
	features        string
	tpm, rpm        int // 0: no limit
	deployments     int // 0: one
	embeddingVector int // its length; 0: a chat model
}

// products are 24 models, as a company might offer them to its people: the big providers and
// its own GPUs, two of which serve the same model.
var products = []product{
	{name: "gpt-4o", model: "openai/gpt-4o", window: 128_000, most: 16_384, input: 2.5, output: 10, features: "vision function_calling parallel_function_calling tool_choice"},
	{name: "gpt-4o-mini", model: "openai/gpt-4o-mini", window: 128_000, most: 16_384, input: 0.15, output: 0.6, features: "vision function_calling parallel_function_calling tool_choice", tpm: 200_000, rpm: 500},
	{name: "gpt-4.1", model: "openai/gpt-4.1", window: 1_047_576, most: 32_768, input: 2, output: 8, features: "vision function_calling parallel_function_calling tool_choice"},
	{name: "gpt-4.1-nano", model: "openai/gpt-4.1-nano", window: 1_047_576, most: 32_768, input: 0.1, output: 0.4, features: "vision function_calling tool_choice"},
	{name: "o4-mini", model: "openai/o4-mini", window: 200_000, most: 100_000, input: 1.1, output: 4.4, features: "vision function_calling tool_choice"},
	{name: "claude-opus-4.1", model: "anthropic/claude-opus-4-1-20250805", window: 200_000, most: 32_000, input: 15, output: 75, features: "vision function_calling tool_choice", tpm: 80_000, rpm: 50},
	{name: "claude-sonnet-4", model: "anthropic/claude-sonnet-4-20250514", window: 200_000, most: 64_000, input: 3, output: 15, features: "vision function_calling parallel_function_calling tool_choice", tpm: 400_000, rpm: 400},
	{name: "claude-haiku-3.5", model: "anthropic/claude-3-5-haiku-20241022", window: 200_000, most: 8_192, input: 0.8, output: 4, features: "function_calling tool_choice"},
	{name: "gemini-2.5-pro", model: "vertex_ai/gemini-2.5-pro", window: 1_048_576, most: 65_535, input: 1.25, output: 10, features: "vision function_calling tool_choice"},
	{name: "gemini-2.5-flash", model: "vertex_ai/gemini-2.5-flash", window: 1_048_576, most: 65_535, input: 0.3, output: 2.5, features: "vision function_calling"},
	{name: "mistral-large", model: "mistral/mistral-large-latest", window: 131_072, most: 16_384, input: 2, output: 6, features: "function_calling tool_choice"},
	{name: "codestral", model: "mistral/codestral-latest", window: 256_000, most: 16_384, input: 0.3, output: 0.9},
	{name: "deepseek-chat", model: "deepseek/deepseek-chat", window: 65_536, most: 8_192, input: 0.27, output: 1.1, features: "function_calling tool_choice"},
	{name: "deepseek-reasoner", model: "deepseek/deepseek-reasoner", window: 65_536, most: 32_768, input: 0.55, output: 2.19},
	{name: "command-r-plus", model: "cohere_chat/command-r-plus", window: 128_000, most: 4_096, input: 2.5, output: 10, features: "function_calling"},
	{name: "meta-llama/Llama-3.3-70B-Instruct", model: "hosted_vllm/meta-llama/Llama-3.3-70B-Instruct", window: 131_072, most: 16_384, input: 0.6, output: 0.6, features: "function_calling tool_choice", deployments: 2},
	{name: "meta-llama/Llama-3.1-8B-Instruct", model: "hosted_vllm/meta-llama/Llama-3.1-8B-Instruct", window: 131_072, most: 16_384, input: 0.05, output: 0.05, features: "function_calling"},
	{name: "Qwen/Qwen3-32B", model: "hosted_vllm/Qwen/Qwen3-32B", window: 40_960, most: 8_192, input: 0.2, output: 0.2, features: "function_calling tool_choice"},
	{name: "Qwen/Qwen2.5-VL-7B-Instruct", model: "hosted_vllm/Qwen/Qwen2.5-VL-7B-Instruct", window: 32_768, most: 8_192, input: 0.08, output: 0.08, features: "vision"},
	{name: "granite-3.3-8b-instruct", model: "hosted_vllm/ibm-granite/granite-3.3-8b-instruct", window: 131_072, most: 8_192, features: "function_calling tool_choice"}, // free
	{name: "phi-4", model: "hosted_vllm/microsoft/phi-4", window: 16_384, most: 8_192, input: 0.07, output: 0.14, rpm: 60},
	{name: "gpt-oss-120b", model: "hosted_vllm/openai/gpt-oss-120b", window: 131_072, most: 32_768, input: 0.1, output: 0.5, features: "function_calling tool_choice"},
	{name: "text-embedding-3-small", model: "openai/text-embedding-3-small", window: 8_191, input: 0.02, embeddingVector: 1536},
	{name: "BAAI/bge-m3", model: "hosted_vllm/BAAI/bge-m3", window: 8_192, input: 0.01, embeddingVector: 1024},
}

// Realistic returns 25 deployments of 24 models: names with a slash and a dot, two deployments
// under one name, two models for embeddings, and one that is free. They are of config.yaml.
func Realistic() []Deployment {
	var out []Deployment
	for _, product := range products {
		for i := range max(1, product.deployments) {
			id := strings.ToLower(strings.ReplaceAll(product.name, "/", "-"))
			out = append(out, product.deployment(fmt.Sprintf("%s-%d", id, i)))
		}
	}
	return out
}

func (p product) deployment(id string) Deployment {
	d := Deployment{ID: id, Name: p.name, Model: p.model, Params: object{}, Info: object{
		"mode": "chat", "max_tokens": p.most, "max_output_tokens": p.most, "max_input_tokens": p.window,
		"input_cost_per_token": perToken(p.input), "output_cost_per_token": perToken(p.output),
	}}
	if p.embeddingVector > 0 {
		delete(d.Info, "max_output_tokens")
		maps.Copy(d.Info, object{"mode": "embedding", "max_tokens": p.window, "output_vector_size": p.embeddingVector})
	}
	for feature := range strings.FieldsSeq(p.features) {
		d.Info["supports_"+feature] = true
	}
	for name, limit := range map[string]int{"tpm": p.tpm, "rpm": p.rpm} {
		if limit > 0 {
			d.Params[name] = limit
		}
	}
	if strings.HasPrefix(p.model, "hosted_vllm/") {
		d.Params["api_base"] = "http://vllm-" + id + ".invalid/v1"
	}
	return d
}

// perToken is a price as somebody writes it into config.yaml: 0.8 dollars a million tokens are
// 8e-07 for one, not 8.000000000000001e-07.
func perToken(million float64) json.Number {
	return json.Number(strconv.FormatFloat(million/1e6, 'g', 6, 64))
}

// sharedEvery is how often Generated gives a deployment the name of the one before it.
const sharedEvery = 20

// Generated returns n deployments, always the same: variations of the realistic ones with names
// of their own, every twentieth with the name of the one before it. They are of config.yaml.
func Generated(n int) []Deployment {
	out := make([]Deployment, n)
	for i := range out {
		of := i
		if i%sharedEvery == sharedEvery-1 {
			of = i - 1
		}
		p := products[of%len(products)]
		round := of / len(products)
		p.name = fmt.Sprintf("%s-v%d", p.name, round+1)
		p.input += float64(round%100) / 100
		out[i] = p.deployment(fmt.Sprintf("generated-%06d", i))
	}
	return out
}
