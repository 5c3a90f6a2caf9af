package litellmtest_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
	"github.com/litemaas/litemaas/models"
)

// keeping starts a proxy that keeps its state in a file.
func keeping(t *testing.T, path string) (*litellmtest.Proxy, *litellm.Client) {
	t.Helper()
	p, err := litellmtest.NewProxy(litellmtest.Options{StateFile: path})
	require.NoError(t, err)
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	return p, litellm.New(litellm.Config{URL: srv.URL, APIKey: models.SecretOf(litellmtest.MasterKey)})
}

// Keys, users and added models outlast a restart, also what was deleted; the catalogue is the
// new start's.
func TestStateOutlastsARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "litellm.json")
	p, c := keeping(t, path)
	ctx := t.Context()
	full := aKey(ada)
	full.KeyLimits = litellm.KeyLimits{
		Models: []string{"b", "a"}, MaxBudget: new(5 * models.Dollar), BudgetDuration: "30d", TPM: new(int64(7)), ModelRPM: map[string]int64{"a": 5},
		ExpiresAt: new(time.Now().Add(time.Hour)), Alias: "ada's", Metadata: map[string]any{"a": 1},
	}
	full.UserID, full.Spend = "ada", models.Dollar
	require.NoError(t, c.UpsertUser(ctx, litellm.UserSpec{ID: "ada", Email: "ada@example.com", MaxBudget: new(models.Dollar), Metadata: map[string]any{"a": 1}}))
	require.NoError(t, c.GenerateKey(ctx, full))
	require.NoError(t, c.GenerateKey(ctx, aKey(ada+"-gone")))
	require.NoError(t, c.DeleteKey(ctx, models.SecretOf(ada+"-gone").Hash()))
	cost, err := models.ParsePrice("0.00000012")
	require.NoError(t, err)
	require.NoError(t, c.AddDeployment(ctx, "added", litellm.DeploymentSpec{Name: "added", Model: "openai/x", InputCost: &cost, MaxTokens: new(int64(4096))}))
	require.NoError(t, c.PatchDeployment(ctx, "added", litellm.DeploymentSpec{TPM: new(int64(3))}))
	before := held(t, c)
	require.NoError(t, p.Close())

	p, c = keeping(t, path)
	require.Equal(t, before, held(t, c))
	require.Len(t, p.Deployments(), 26)
	require.NoError(t, c.GenerateKey(ctx, aKey(ada+"-new")))
	page, err := c.Keys(ctx, litellm.KeyFilter{}, 1, 10)
	require.NoError(t, err)
	require.Equal(t, models.SecretOf(ada+"-new").Hash(), page.Keys[1].Hash) // is the newest, still
	require.NoError(t, c.DeleteDeployment(ctx, "added"))
	require.NoError(t, p.Close())

	p, _ = keeping(t, path)
	require.Len(t, p.Deployments(), 25)
}

// held is what a proxy holds besides its catalogue.
func held(t *testing.T, c *litellm.Client) []any {
	t.Helper()
	key, err := c.Key(t.Context(), models.SecretOf(ada).Hash())
	require.NoError(t, err)
	user, err := c.User(t.Context(), "ada")
	require.NoError(t, err)
	deployment, err := c.Deployment(t.Context(), "added")
	require.NoError(t, err)
	_, err = c.Key(t.Context(), models.SecretOf(ada+"-gone").Hash())
	require.ErrorContains(t, err, "has deleted the key")
	return []any{key, user, deployment}
}

// A change reaches the file without a Close, so a kill loses a moment at most.
func TestStateIsWrittenSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "litellm.json")
	p, c := keeping(t, path)
	require.NoError(t, c.GenerateKey(t.Context(), aKey(ada)))
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(raw), models.SecretOf(ada).Hash())
	}, 10*time.Second, 10*time.Millisecond)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(raw), ada)
	require.NoError(t, p.Close())
}

// The file is whole at every moment, and nothing else is left beside it.
func TestStateFileIsAlwaysWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "litellm.json")
	p, c := keeping(t, path)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 25 {
				if err := c.GenerateKey(t.Context(), aKey(ada+string(rune('a'+i))+string(rune('a'+j)))); err != nil {
					t.Error(err)
				}
				if _, err := litellmtest.NewProxy(litellmtest.Options{StateFile: path}); err != nil { // reads it, if it is there
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, p.Close())
	p, _ = keeping(t, path)
	require.Len(t, p.Keys(), 100)
	require.NoError(t, p.Close())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// A file that cannot be read is said at once, with its name and what to do.
func TestStateFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte(`{"Keys": [`), 0o600))
	for _, path := range []string{broken, dir} {
		_, err := litellmtest.NewProxy(litellmtest.Options{StateFile: path})
		require.ErrorContains(t, err, path)
	}
	p, err := litellmtest.NewProxy(litellmtest.Options{StateFile: filepath.Join(dir, "nowhere", "litellm.json")})
	require.NoError(t, err)
	require.Error(t, p.Close())
}
