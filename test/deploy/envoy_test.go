package deploy_test

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// envoy is what the filter of the example says, as far as it matters to us.
type envoy struct {
	FailureModeAllow bool     `yaml:"failure_mode_allow"`
	AllowedHeaders   patterns `yaml:"allowed_headers"`
	WithRequestBody  struct {
		MaxRequestBytes     int  `yaml:"max_request_bytes"`
		AllowPartialMessage bool `yaml:"allow_partial_message"`
	} `yaml:"with_request_body"`
	HTTPService struct {
		ServerURI struct {
			Cluster string `yaml:"cluster"`
		} `yaml:"server_uri"`
		PathPrefix           string `yaml:"path_prefix"`
		AuthorizationRequest struct {
			HeadersToAdd []struct{ Key, Value string } `yaml:"headers_to_add"`
		} `yaml:"authorization_request"`
		AuthorizationResponse struct {
			Upstream patterns `yaml:"allowed_upstream_headers"`
			Client   patterns `yaml:"allowed_client_headers"`
		} `yaml:"authorization_response"`
	} `yaml:"http_service"`
}

type patterns struct {
	Patterns []struct{ Exact, Prefix string } `yaml:"patterns"`
}

// let is the headers that match a pattern.
func (p patterns) let(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		for _, pattern := range p.Patterns {
			if strings.EqualFold(pattern.Exact, name) || pattern.Prefix != "" && strings.HasPrefix(strings.ToLower(name), pattern.Prefix) {
				out[name] = values
			}
		}
	}
	return out
}

// example is the file of the example, and its filters by name.
func example(t *testing.T) (file map[string]any, filters map[string]map[string]any) {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/envoy/envoy.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(raw, &file))
	filters = map[string]map[string]any{}
	for _, f := range at(t, file, "static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config", "http_filters").([]any) {
		f := f.(map[string]any)
		filters[f["name"].(string)] = f["typed_config"].(map[string]any)
	}
	return file, filters
}

// at is what is at a path in a file.
func at(t *testing.T, from any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, ok := from.(map[string]any)
			require.True(t, ok, step)
			require.Contains(t, object, step)
			from = object[step]
		case int:
			list, ok := from.([]any)
			require.True(t, ok, step)
			require.Greater(t, len(list), step)
			from = list[step]
		}
	}
	return from
}

// The example asks as it is written, and passes on what is allowed to go on.
func TestEnvoyExample(t *testing.T) {
	s := start(t)
	file, filters := example(t)
	raw, err := yaml.Marshal(filters["envoy.filters.http.ext_authz"])
	require.NoError(t, err)
	var e envoy
	require.NoError(t, yaml.Unmarshal(raw, &e))
	require.False(t, e.FailureModeAllow, "who cannot be judged is not let in")
	require.False(t, e.WithRequestBody.AllowPartialMessage, "what was not looked at is not let through")
	require.Equal(t, 1<<20, e.WithRequestBody.MaxRequestBytes, "as much as we read")
	var clusters []string
	for _, c := range at(t, file, "static_resources", "clusters").([]any) {
		clusters = append(clusters, at(t, c, "name").(string))
	}
	require.Contains(t, clusters, e.HTTPService.ServerURI.Cluster)

	// ask sends a request as the filter does. It returns the status, what goes on to LiteLLM, and
	// what comes back to the caller.
	ask := func(key, body string) (int, http.Header, http.Header) {
		t.Helper()
		came := http.Header{"Authorization": {"Bearer " + key}, "X-Api-Key": {key}, "X-Litemaas-Model": {"o3"}, "Cookie": {"a=b"}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+e.HTTPService.PathPrefix+"/v1/chat/completions", strings.NewReader(body))
		require.NoError(t, err)
		req.Header = e.AllowedHeaders.let(came)
		req.Header["Authorization"] = came["Authorization"]
		for _, h := range e.HTTPService.AuthorizationRequest.HeadersToAdd {
			require.Equal(t, "CHANGE-ME-to-verify.secret", h.Value)
			req.Header.Set(h.Key, gatewaySecret)
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		return res.StatusCode, e.HTTPService.AuthorizationResponse.Upstream.let(res.Header), e.HTTPService.AuthorizationResponse.Client.let(res.Header)
	}
	status, on, _ := ask(s.sk, `{"model": "gpt-4o"}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, http.Header{
		"X-Litemaas-Key-Id": {s.key.ID.String()}, "X-Litemaas-User-Id": {s.key.UserID.String()},
		"X-Litemaas-Roles": {"user"}, "X-Litemaas-Model": {"gpt-4o"},
	}, on)
	status, _, back := ask(s.sk, `{"model": "o3"}`)
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "model_not_subscribed", back.Get("X-Litemaas-Reason"))
	require.Equal(t, "application/problem+json", back.Get("Content-Type"))
	s.exec(t, "UPDATE api_keys SET rpm_limit = 0")
	for began := time.Now(); status != http.StatusTooManyRequests; {
		require.Less(t, time.Since(began), time.Second)
		status, _, back = ask(s.sk, `{"model": "gpt-4o"}`)
	}
	require.Equal(t, "60", back.Get("Retry-After"))
	status, _, back = ask("sk-0123456789012345678901", `{"model": "gpt-4o"}`)
	require.Equal(t, http.StatusUnauthorized, status)
	require.NotEmpty(t, back.Get("Www-Authenticate"))
}

// What we say of a caller cannot come from him: each header that goes on is taken off before.
func TestEnvoyExampleIsNotFooled(t *testing.T) {
	_, filters := example(t)
	var removed []string
	for _, m := range at(t, filters["envoy.filters.http.header_mutation"], "mutations", "request_mutations").([]any) {
		removed = append(removed, at(t, m, "remove").(string))
	}
	require.ElementsMatch(t, []string{"x-litemaas-model", "x-litemaas-key-id", "x-litemaas-user-id", "x-litemaas-team-id", "x-litemaas-roles"}, removed)
}
