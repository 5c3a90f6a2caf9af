package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/api/ratelimit"
	"github.com/litemaas/litemaas/models"
)

// VerifyConfig says which gateways may ask whether a request may be made with an API key.
type VerifyConfig struct {
	ExtAuthz bool           `mapstructure:"ext_authz"` // whether any may
	Prefix   string         `mapstructure:"prefix"`    // of the paths that they ask at
	Secret   models.Secret  `mapstructure:"secret"`    // that they know; none: they need not
	Gateways []netip.Prefix `mapstructure:"gateways"`  // where they are; none: anywhere
}

// The headers between a gateway and us; canonical, as net/http keeps them.
const (
	gatewayHeader = "X-Litemaas-Gateway" // our secret
	modelHeader   = "X-Litemaas-Model"   // in: what is to be called; out: what was judged
	reasonHeader  = "X-Litemaas-Reason"
	keyHeader     = "X-Litemaas-Key-Id"
	userHeader    = "X-Litemaas-User-Id"
	teamHeader    = "X-Litemaas-Team-Id"
	rolesHeader   = "X-Litemaas-Roles"
	partialHeader = "X-Envoy-Auth-Partial-Body"
)

// gateways answers gateways that ask, as Envoy's ext_authz does, whether a request that they hold
// may go on: they send it as it came, behind our prefix.
type gateways struct {
	VerifyConfig
	auth    *Auth
	secret  [sha256.Size]byte
	counter ratelimit.Counter
}

// extAuthz serves them, if they may ask. It is outside of huma and of the limits of callers: a
// gateway asks for everybody.
func (s *Server) extAuthz(r *router) {
	if c := s.Config.Verify; c.ExtAuthz && s.Auth != nil {
		g := &gateways{VerifyConfig: c, auth: s.Auth, secret: sha256.Sum256([]byte(c.Secret.Reveal())), counter: r.limits.counter}
		prefix := strings.TrimSuffix(c.Prefix, "/")
		r.engine.Any(prefix, g.answer) // a request for /, whose slash the router drops
		r.engine.Any(prefix+"/*path", g.answer)
	}
}

// answer is 200 for a request that may go on, with what the gateway may tell whoever it asks
// next; and with all that the key is good for, if it asks for JSON.
func (g *gateways) answer(c *gin.Context) {
	ctx := c.Request.Context()
	if err := g.admit(c.Request); err != nil {
		answer(c, fail(ctx, err))
		return
	}
	model, err := modelOf(c.Request)
	if err != nil {
		c.Header(reasonHeader, "model_unreadable")
		answer(c, fail(ctx, err))
		return
	}
	k, v, err := g.auth.APIKeys.Judge(ctx, keyOf(c.Request.Header), model)
	if err != nil {
		answer(c, fail(ctx, err))
		return
	}
	if v.Allowed() {
		v = g.count(ctx, k, model)
	}
	if !v.Allowed() {
		g.refuse(c, v)
		return
	}
	g.auth.UsedKeys.Note(k.ID)
	requestOf(ctx).caller.id = k.Owner.ID.String() // for the log
	h := c.Writer.Header()
	for name := range headers { // they are for browsers, which never see this
		delete(h, name)
	}
	h[keyHeader], h[userHeader], h[rolesHeader] = []string{k.ID.String()}, []string{k.Owner.ID.String()}, []string{strings.Join(k.Owner.Roles, ",")}
	if k.Team != nil {
		h[teamHeader] = []string{k.Team.ID.String()}
	}
	if model != "" {
		h[modelHeader] = []string{model}
	}
	if c.GetHeader("Accept") == "application/json" {
		c.JSON(http.StatusOK, newKeyVerdict(k, v))
		return
	}
	c.Status(http.StatusOK)
}

// refuse tells a gateway not to let a request go on, in words that it may pass on.
func (g *gateways) refuse(c *gin.Context, v models.KeyVerdict) {
	p := fail(c.Request.Context(), v.Err(time.Now()))
	c.Header(reasonHeader, string(v.Reason))
	if p.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="litemaas"`)
	}
	answer(c, p)
}

// admit lets those ask that may. The time that it takes says nothing about the secret.
func (g *gateways) admit(r *http.Request) error {
	given := sha256.Sum256([]byte(r.Header.Get(gatewayHeader)))
	known := g.Secret.IsZero() || subtle.ConstantTimeCompare(given[:], g.secret[:]) == 1
	near := len(g.Gateways) == 0 || proxies(g.Gateways).trust(requestOf(r.Context()).ip)
	if !known || !near {
		return models.Errorf(models.Forbidden, "Access denied. This is for gateways only")
	}
	return nil
}

// keyOf is the key that a request brings; empty, if it brings none.
func keyOf(h http.Header) string {
	if scheme, key, _ := strings.Cut(h.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	return h.Get("X-Api-Key")
}

// modelOf is the model that a request is for: that of its JSON body, else what the gateway says
// in a header; empty, if it has no body either. It is Invalid when that cannot be seen: what was
// not looked at must not be let through.
func modelOf(r *http.Request) (string, error) {
	named := r.Header.Get(modelHeader)
	if r.Header.Get(partialHeader) == "true" {
		return "", models.Errorf(models.Invalid, "the gateway sent a part of the body: raise its max_request_bytes").On("body")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return "", models.Wrap(models.Invalid, err, "the body cannot be read, or is larger than 1 MB").On("body")
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return named, nil
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(raw, &body) != nil {
		if named == "" {
			return "", models.Errorf(models.Invalid, "the body is no JSON object: the gateway has to name the model in the header %s", modelHeader).On("body")
		}
		return named, nil
	}
	var model string
	if there := body["model"]; there != nil && json.Unmarshal(there, &model) != nil {
		return "", models.Errorf(models.Invalid, "must be a string").On("model")
	}
	if named != "" && model != "" && named != model {
		return "", models.Errorf(models.Invalid, "the body is for another model than the header %s says", modelHeader).On("model")
	}
	if model == "" {
		return named, nil
	}
	return model, nil
}

// count counts a request against the requests a minute of the key and of its team.
func (g *gateways) count(ctx context.Context, k models.KeyCheck, model string) models.KeyVerdict {
	var buckets []ratelimit.Bucket
	verdict := models.KeyVerdict{Reason: models.KeyIsValid}
	add := func(limit, whose string, rpm *int64) {
		switch {
		case rpm == nil || *rpm > maxRPM:
		case *rpm == 0:
			verdict.Reason = models.KeyTooFast
		default:
			rate := ratelimit.Rate{Requests: int(*rpm), Per: time.Minute}
			buckets = append(buckets, ratelimit.Bucket{ID: ratelimit.ID{Limit: limit, Whose: whose}, Rate: rate})
		}
	}
	add("key_rpm", k.ID.String(), k.Limits.RPM)
	if rpm, ok := k.ModelRPM[model]; ok {
		add("key_model_rpm", k.ID.String()+" "+model, &rpm)
	}
	if k.Team != nil {
		add("team_rpm", k.Team.ID.String(), k.Team.Limits.RPM)
	}
	if !verdict.Allowed() || len(buckets) == 0 {
		return verdict
	}
	if took := g.counter.Take(ctx, buckets...); took.Refused() {
		return models.KeyVerdict{Reason: models.KeyTooFast, RetryAt: time.Now().Add(took.Wait)}
	}
	return verdict
}

// maxRPM is how many requests a minute are counted; a higher limit is none to us.
const maxRPM = 1_000_000

// Check reports what is wrong with the configuration; the error is Invalid and names the field.
func (c VerifyConfig) Check() error {
	switch {
	case !c.ExtAuthz:
		return nil
	case len(c.Prefix) < 2 || c.Prefix[0] != '/' || strings.ContainsAny(c.Prefix, ":*?# ") || strings.HasPrefix(c.Prefix, "/api"):
		return models.Errorf(models.Invalid, "must be a path of its own, such as /ext-authz").On("prefix")
	case c.Secret.IsZero() && len(c.Gateways) == 0:
		return models.Errorf(models.Invalid, "must be set, or verify.gateways, where verify.ext_authz is true: else anybody could try keys there").On("secret")
	case !c.Secret.IsZero() && len(c.Secret.Reveal()) < minGatewaySecret:
		return models.Errorf(models.Invalid, "must have at least %d characters", minGatewaySecret).On("secret")
	}
	return nil
}

const minGatewaySecret = 16
