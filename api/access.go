package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// access is what an endpoint asks of its caller. The zero value asks that we know him.
type access struct {
	anyone  bool              // nothing: he may be nobody we know
	account bool              // an account of his own, which an admin key has not
	need    models.Permission // that one of his roles has; empty: none
}

// refuses is why a request may not be made; nil: it may.
func (a access) refuses(r *request) error {
	switch {
	case a.anyone:
		return nil
	case r.unknown != nil:
		return r.unknown
	case !r.caller.known():
		return errNobody
	case a.need != "" && !r.caller.May(a.need):
		return models.Errorf(models.Forbidden, "Access denied. Required permission: %s", a.need)
	case r.caller.KeyID != uuid.Nil && (!reads(r.method) || a.account && a.need == ""):
		return models.Errorf(models.Forbidden, "Access denied. With an API key, one only reads what keys are for: sign in")
	case a.account && !r.caller.hasAccount():
		return models.Errorf(models.Forbidden, "Access denied. An admin key has no account of its own")
	}
	return nil
}

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

var errNobody = models.Errorf(models.Unauthenticated, "Invalid or missing authentication token")

// caller is who asks; the zero value is nobody we know.
type caller struct {
	models.Principal
	id string // as the audit log names him

	user, apiKey string   // what his requests count against; empty where he is none
	teams        []string // and those
}

// newCaller is the caller that a principal is. The default team, which everybody is in, is none
// of his: it would be one bucket for all.
func newCaller(p models.Principal) caller {
	c := caller{Principal: p, id: p.ID()}
	if p.KeyID != uuid.Nil {
		c.apiKey = p.KeyID.String()
	}
	if c.hasAccount() {
		c.user = p.UserID.String()
	} else {
		c.apiKey = c.id
	}
	for _, team := range p.Teams {
		c.teams = append(c.teams, team.String())
	}
	return c
}

func (c caller) known() bool { return c.id != "" }

// hasAccount reports whether the caller is a user; an admin key is none.
func (c caller) hasAccount() bool { return c.UserID != uuid.Nil }

// authenticator tells callers by what they bring, and keeps account of those it refuses.
type authenticator struct {
	*Auth // nil: nobody is known
	store *store.Store
}

// identify finds out who sends a request. It answers nothing: what a stranger may do is for
// guard to say, after his request has been counted.
func (a authenticator) identify(c *gin.Context) {
	ctx := c.Request.Context()
	r := requestOf(ctx)
	p, err := a.principal(ctx, c.GetHeader("Authorization"))
	if err != nil {
		r.unknown = err
		return
	}
	r.caller = newCaller(p)
	a.Seen.Note(p, r.address())
}

// principal is who sends the header Authorization.
func (a authenticator) principal(ctx context.Context, authorization string) (models.Principal, error) {
	if a.Auth == nil || authorization == "" {
		return models.Principal{}, errNobody
	}
	scheme, credential, _ := strings.Cut(authorization, " ")
	if credential = strings.TrimSpace(credential); strings.HasPrefix(credential, models.SecretPrefix) && strings.EqualFold(scheme, "Bearer") {
		return a.byKey(ctx, credential)
	}
	return a.Callers.Principal(ctx, authorization)
}

// byKey is the owner of an API key, who may read with it. That he has used up his budget or his
// quota does not hinder him.
func (a authenticator) byKey(ctx context.Context, key string) (models.Principal, error) {
	k, v, err := a.APIKeys.Judge(ctx, key, "")
	if err != nil {
		return models.Principal{}, err
	}
	if err := v.Err(time.Now()); err != nil && models.KindOf(err) != models.Limited {
		return models.Principal{}, models.Errorf(models.Unauthenticated, "%s", v.Words())
	}
	p, err := a.principals.User(ctx, k.Owner.ID)
	if err != nil {
		return models.Principal{}, err
	}
	a.UsedKeys.Note(k.ID)
	p.KeyID, p.Via, p.Permissions = k.ID, "api-key", models.ByKey.Of(p.Permissions)
	return p, nil
}

// guard lets a request through to an endpoint of that access, or answers it. An endpoint for
// anyone takes a caller whom we do not know for a stranger.
func (a authenticator) guard(need access) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx := c.Request.Context()
		err := need.refuses(requestOf(ctx))
		if err == nil {
			return
		}
		a.refused(ctx, err)
		p := fail(ctx, err)
		if p.Status == http.StatusUnauthorized {
			c.Header("WWW-Authenticate", `Bearer realm="litemaas"`)
		}
		if errors.Is(err, auth.ErrTokenExpired) {
			p.Code, p.Envelope.Code = "TOKEN_EXPIRED", "TOKEN_EXPIRED"
		}
		answer(c, p)
	}
}

// auditWithin is how long writing down a refusal may hold up its answer.
const auditWithin = 2 * time.Second

// refused writes into the audit log that somebody may not do what he asks for: AUTH_DENIED,
// where we know him, else AUTH_FAILED. That it cannot be written lets nobody in.
func (a authenticator) refused(ctx context.Context, why error) {
	r := requestOf(ctx)
	detail := map[string]any{"method": r.method, "url": r.path, "error": why.Error()}
	e := models.Event{Failure: why.Error()}
	switch models.KindOf(why) {
	case models.Unauthenticated:
		e.Action, e.ResourceType, e.ResourceID = models.AuditFailed, models.AuditOfAccess, r.method+" "+r.path
		detail["statusCode"] = http.StatusUnauthorized
	case models.Forbidden:
		e.Action, e.ResourceType = models.AuditDenied, models.AuditOfSecurity
		detail["statusCode"], detail["userRoles"] = http.StatusForbidden, r.caller.Roles
	default:
		return
	}
	e.Detail = detail
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWithin)
	defer cancel()
	if err := a.store.Audit(ctx, actor(ctx), e); err != nil {
		slog.ErrorContext(ctx, "a refusal is not in the audit log", "action", e.Action, "request_id", r.id, "error", err)
	}
}

// actor is the caller as the audit log names him.
func actor(ctx context.Context) models.Actor {
	c := requestOf(ctx).caller
	if !c.known() {
		return models.Nobody(origin(ctx))
	}
	return c.Actor(origin(ctx))
}

// origin is where the request of ctx comes from.
func origin(ctx context.Context) models.Origin {
	r := requestOf(ctx)
	return models.Origin{IP: r.address(), UserAgent: r.agent, RequestID: r.id, Deed: r.deed}
}
