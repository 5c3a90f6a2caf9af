package litellmtest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

func catalogueOf(t *testing.T, list []litellmtest.Deployment) models.Catalogue {
	t.Helper()
	p, err := litellmtest.NewProxy(litellmtest.Options{Catalogue: list})
	require.NoError(t, err)
	all, err := litellmtest.Serve(t, p).AllDeployments(t.Context())
	require.NoError(t, err)
	require.Len(t, all, len(list))
	return models.NewCatalogue(all)
}

// The realistic catalogue has what a catalogue may have, and reads without a problem.
func TestRealisticCatalogue(t *testing.T) {
	list := litellmtest.Realistic()
	require.Len(t, list, 25)
	c := catalogueOf(t, list)
	require.Empty(t, c.Problems())
	require.Len(t, c.LLMs, 24)
	var slashes, dots, free, embeddings, shared int
	for _, llm := range c.LLMs {
		require.NotNil(t, llm.InputCost, llm.ID)
		require.NotNil(t, llm.ContextLength, llm.ID)
		require.NotEqual(t, "unknown", llm.Provider)
		slashes += strings.Count(llm.ID, "/")
		dots += strings.Count(llm.ID, ".")
		if llm.InputCost.String() == "0" && llm.OutputCost.String() == "0" {
			free++
		}
		if llm.Features[0] == models.FeatureEmbeddings {
			embeddings++
		}
		if len(llm.DeploymentIDs) > 1 {
			shared++
		}
	}
	require.Positive(t, slashes)
	require.Positive(t, dots)
	require.Equal(t, 1, free)
	require.Equal(t, 2, embeddings)
	require.Equal(t, 1, shared)
}

// A generated catalogue is as large as was asked, always the same, and some names are shared.
func TestGeneratedCatalogue(t *testing.T) {
	require.Empty(t, litellmtest.Generated(0))
	require.Len(t, catalogueOf(t, litellmtest.Generated(1)).LLMs, 1)
	list := litellmtest.Generated(3000)
	require.Equal(t, list, litellmtest.Generated(3000))
	require.Equal(t, list[:100], litellmtest.Generated(100))
	c := catalogueOf(t, list)
	require.Empty(t, c.Problems())
	require.Len(t, c.LLMs, 2850)
	providers := map[string]int{}
	for _, llm := range c.LLMs {
		providers[llm.Provider]++
	}
	require.Greater(t, len(providers), 5)
}

// The list can be changed behind a client's back; what was changed moves to the end.
func TestCatalogueChanges(t *testing.T) {
	p, c := litellmtest.New(t)
	ids := func() []string {
		list, err := c.AllDeployments(t.Context())
		require.NoError(t, err)
		require.Len(t, p.Deployments(), len(list))
		out := make([]string, len(list))
		for i, d := range list {
			out[i] = d.ID()
		}
		return out
	}
	p.SetDeployments(litellmtest.Generated(4))
	first := ids()
	require.True(t, p.ChangeDeployment(first[1], func(d *litellmtest.Deployment) { d.Info["max_tokens"] = 7 }))
	require.False(t, p.ChangeDeployment("nobody", func(*litellmtest.Deployment) {}))
	require.Equal(t, []string{first[0], first[2], first[3], first[1]}, ids())
	require.Equal(t, 16_384, litellmtest.Generated(4)[1].Info["max_tokens"]) // the caller's own list is as it was
	p.RemoveDeployments(first[0], first[3], "nobody")
	p.AddDeployment(litellmtest.Deployment{ID: "mine", Name: "mine", Model: "openai/mine", DB: true})
	require.Equal(t, []string{first[2], first[1], "mine"}, ids())
	require.NoError(t, c.DeleteDeployment(t.Context(), "mine"))
}

// An older LiteLLM has no lists in pages, and ignores null for a user's limits; the client
// manages with what there is.
func TestOldVersion(t *testing.T) {
	p, err := litellmtest.NewProxy(litellmtest.Options{OldVersion: true})
	require.NoError(t, err)
	c := litellmtest.Serve(t, p)
	_, err = c.Deployments(t.Context(), 1, 10)
	require.True(t, litellm.NoRoute(err))
	require.Equal(t, models.NotFound, models.KindOf(err))
	named, err := c.DeploymentsNamed(t.Context(), "meta-llama/Llama-3.3-70B-Instruct")
	require.NoError(t, err)
	require.Len(t, named, 2)

	require.NoError(t, c.CreateUser(t.Context(), litellm.UserSpec{ID: "ada", TPM: new(int64(5))}))
	require.NoError(t, c.UpsertUser(t.Context(), litellm.UserSpec{ID: "ada"}))
	u, err := c.User(t.Context(), "ada")
	require.NoError(t, err)
	require.EqualValues(t, 5, *u.TPM)
	_, err = c.User(t.Context(), "nobody")
	require.Equal(t, models.NotFound, models.KindOf(err))

	p.SetDeployments(nil)
	_, err = c.AllDeployments(t.Context())
	require.True(t, litellm.ListNotLoaded(err))
}

// Equal texts have equal vectors, of the length that the model says.
func TestEmbeddings(t *testing.T) {
	p, err := litellmtest.NewProxy(litellmtest.Options{})
	require.NoError(t, err)
	body := `{"model": "BAAI/bge-m3", "input": ["one", "two", "one"]}`
	var out struct {
		Data []struct {
			Index     int
			Embedding []float64
		}
	}
	require.NoError(t, json.Unmarshal(post(t, p, "/embeddings", body), &out))
	require.Len(t, out.Data, 3)
	require.Len(t, out.Data[0].Embedding, 1024)
	require.Equal(t, out.Data[0].Embedding, out.Data[2].Embedding)
	require.NotEqual(t, out.Data[0].Embedding, out.Data[1].Embedding)
	for _, one := range []string{`"text"`, `[1, 2, 3]`} {
		require.NoError(t, json.Unmarshal(post(t, p, "/embeddings", `{"model": "BAAI/bge-m3", "input": `+one+`}`), &out))
		require.Len(t, out.Data, 1)
	}
}

// post calls as the admin and returns the body of a good answer.
func post(t *testing.T, p *litellmtest.Proxy, path, body string) []byte {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+litellmtest.MasterKey)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	return w.Body.Bytes()
}
