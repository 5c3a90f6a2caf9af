package litellm

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/litemaas/litemaas/models"
)

// namedPage is how many deployments of one name are asked for at once. There are never more;
// a LiteLLM that does not know the filter sends all it has in such pages.
const namedPage = 1000

// DeploymentPage is one page of LiteLLM's model list.
type DeploymentPage struct {
	Deployments []models.Deployment
	Page        int // from 1
	TotalPages  int
	TotalCount  int // deployments, not names
}

// Deployments reads one page of the model list, sorted by name. Fields that LiteLLM gives as
// null are left out: most are.
//
// LiteLLM 1.108 takes any size from 1, answers a page past the end with no entries and the
// right TotalCount, and builds its whole list anew for each page: few large pages cost much
// less than many small ones, and AllDeployments less than any. Pages are cut by position. In
// LiteLLM's own order a changed deployment moves to the end, and one read on page 2 may so
// have been on page 1 before; sorted by name, only an added or removed one shifts the others.
// The list is whole when every page told the same TotalCount and that many different ids came.
//
// NotFound (and NoRoute) is a LiteLLM without this call: use AllDeployments. It may also fail
// with ListNotLoaded. An empty list is not proof that there are no models: while LiteLLM
// starts, it answers the same.
func (c *Client) Deployments(ctx context.Context, page, size int) (DeploymentPage, error) {
	return c.page(ctx, page, url.Values{
		"size": {strconv.Itoa(size)}, "sortBy": {"model_name"}, "sortOrder": {"asc"},
	})
}

func (c *Client) page(ctx context.Context, page int, query url.Values) (DeploymentPage, error) {
	query.Set("page", strconv.Itoa(page))
	p := DeploymentPage{Page: page}
	rest, err := c.list(ctx, "/v2/model/info", query, func(d models.Deployment) error {
		p.Deployments = append(p.Deployments, d)
		return nil
	})
	if NoRoute(err) {
		return p, models.Wrap(models.NotFound, err, "this LiteLLM has no model list in pages")
	}
	if err != nil {
		return p, err
	}
	p.TotalCount, p.TotalPages = rest["total_count"], rest["total_pages"]
	if p.TotalCount < len(p.Deployments) {
		return p, models.Errorf(models.Unavailable, "LiteLLM sent %d deployments and says that it has %d", len(p.Deployments), p.TotalCount)
	}
	return p, nil
}

// AllDeployments reads the whole model list in one answer: every LiteLLM can, and its entries
// are of one moment. LiteLLM 1.108 needs 0.1 ms and 8 kB for each deployment.
//
// Beside deployments it lists the aliases of models, and for one with a wildcard in its name
// what it stands for; Deployments does neither. Errors are those of Deployments.
func (c *Client) AllDeployments(ctx context.Context) ([]models.Deployment, error) {
	var all []models.Deployment
	_, err := c.list(ctx, "/model/info", nil, func(d models.Deployment) error {
		all = append(all, d)
		return nil
	})
	return all, err
}

// DeploymentsNamed reads the deployments that share a name, which has to match exactly. None
// is no error.
func (c *Client) DeploymentsNamed(ctx context.Context, name string) ([]models.Deployment, error) {
	var named []models.Deployment
	keep := func(list []models.Deployment) {
		for _, d := range list {
			if d.Name == name {
				named = append(named, d)
			}
		}
	}
	for page, pages := 1, 1; page <= pages; page++ {
		// "model" is exact; "search" would find parts of names, and rows that LiteLLM does not
		// serve yet. A LiteLLM that knows neither lists everything.
		p, err := c.page(ctx, page, url.Values{"model": {name}, "size": {strconv.Itoa(namedPage)}})
		if NoRoute(err) {
			all, err := c.AllDeployments(ctx)
			keep(all)
			return named, err
		}
		if err != nil {
			return nil, err
		}
		keep(p.Deployments)
		pages = p.TotalPages
	}
	return named, nil
}

// Deployment reads one deployment. NotFound means that LiteLLM does not serve it, though it may
// have stored it: see SavedNotLive.
func (c *Client) Deployment(ctx context.Context, id string) (models.Deployment, error) {
	var found models.Deployment
	_, err := c.list(ctx, "/model/info", url.Values{"litellm_model_id": {id}}, func(d models.Deployment) error {
		if textOf(d.Info["id"]) == id { // a LiteLLM that does not know the filter lists everything
			found = d
		}
		return nil
	})
	if err == nil && found.Info == nil {
		err = models.Errorf(models.NotFound, "LiteLLM does not serve the deployment %s", id)
	}
	return found, err
}

// DeploymentSpec is what a deployment is to be. In a patch, what is empty stays as it is.
type DeploymentSpec struct {
	Name              string // model_name; need not be unique
	Model             string // provider/name, as in "hosted_vllm/ibm-granite/granite-3.3-8b-instruct"
	CustomLLMProvider string
	APIBase           string
	APIKey            models.Secret
	InputCost         *models.Price // dollars a token; zero is a price
	OutputCost        *models.Price
	TPM, RPM          *int64
	Mode              string // "chat", "embedding"
	MaxTokens         *int64
	MaxInputTokens    *int64
	Supports          map[string]bool // by feature: models.FeatureVision and the others
	ExtraParams       map[string]any  // more of litellm_params; nothing secret
	ExtraInfo         map[string]any  // more of model_info
}

// body is the spec in LiteLLM's words. The id is part of it even in a patch: a model_info
// without one makes LiteLLM store a new id beside the old.
func (s DeploymentSpec) body(id string) map[string]any {
	params, info := map[string]any{}, map[string]any{"id": id}
	for key, value := range s.ExtraParams {
		params[key] = value
	}
	for key, value := range s.ExtraInfo {
		info[key] = value
	}
	for feature, has := range s.Supports {
		info["supports_"+feature] = has
	}
	put(params, "model", s.Model)
	put(params, "custom_llm_provider", s.CustomLLMProvider)
	put(params, "api_base", s.APIBase)
	put(params, "api_key", s.APIKey.Reveal())
	put(params, "input_cost_per_token", s.InputCost)
	put(params, "output_cost_per_token", s.OutputCost)
	put(params, "tpm", s.TPM)
	put(params, "rpm", s.RPM)
	put(info, "mode", s.Mode)
	put(info, "max_tokens", s.MaxTokens)
	put(info, "max_input_tokens", s.MaxInputTokens)
	body := map[string]any{"litellm_params": params, "model_info": info}
	put(body, "model_name", s.Name)
	return body
}

// put adds what is not the zero value.
func put[T comparable](m map[string]any, key string, value T) {
	var zero T
	if value != zero {
		m[key] = value
	}
}

// AddDeployment adds a deployment under an id of our choice. LiteLLM needs
// STORE_MODEL_IN_DB=True for it; without, it is a Conflict.
//
// Repeated, it is a Conflict: LiteLLM has the id. After any other error look with Deployment
// before trying again; with SavedNotLive the work is done. The id must not be one of
// LiteLLM's config.yaml: LiteLLM would take it, and once the new one is deleted serve neither
// until it is started again.
func (c *Client) AddDeployment(ctx context.Context, id string, s DeploymentSpec) error {
	if err := checkDeploymentID(id); err != nil {
		return err
	}
	if s.Name == "" || s.Model == "" {
		return models.Errorf(models.Invalid, "a deployment needs a name and a model")
	}
	k := call{method: http.MethodPost, path: "/model/new", body: s.body(id), hide: []models.Secret{s.APIKey}}
	err := c.do(ctx, k, nil)
	if !errors.Is(err, errNotAdded) {
		return err
	}
	// LiteLLM answers the same when the id is taken and when its database failed.
	switch _, seen := c.Deployment(ctx, id); {
	case seen == nil:
		return models.Wrap(models.Conflict, err, "LiteLLM has a deployment with the id %s already", id)
	case models.KindOf(seen) == models.NotFound:
		return models.Wrap(models.Unavailable, err, "LiteLLM did not add the deployment and does not say why")
	default:
		return seen
	}
}

// PatchDeployment changes what the spec names and leaves the rest. It may be repeated. LiteLLM
// ignores null, so nothing can be taken away. NotFound means that LiteLLM has not stored it; a
// deployment of config.yaml is a Conflict.
func (c *Client) PatchDeployment(ctx context.Context, id string, s DeploymentSpec) error {
	if err := checkDeploymentID(id); err != nil {
		return err
	}
	return c.do(ctx, call{
		method: http.MethodPatch, path: "/model/" + id + "/update", body: s.body(id), hide: []models.Secret{s.APIKey},
	}, nil)
}

// DeleteDeployment removes a deployment. NotFound means that it is gone, or that it is one of
// config.yaml, which cannot be removed: a look tells which.
func (c *Client) DeleteDeployment(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodPost, path: "/model/delete", body: map[string]string{"id": id}}, nil)
}

// checkDeploymentID refuses what could not be named in a path.
func checkDeploymentID(id string) error {
	if id == "" || strings.ContainsAny(id, "/?#%\\") || id == "." || id == ".." {
		return models.Errorf(models.Invalid, "%q cannot be the id of a deployment: it must not be empty nor hold a slash", id)
	}
	return nil
}
