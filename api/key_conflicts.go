package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// keyConflict is a field of an API key that LiteLLM holds otherwise.
type keyConflict struct {
	ID         uuid.UUID               `json:"id" format:"uuid"`
	KeyID      uuid.UUID               `json:"keyId" format:"uuid"`
	KeyName    string                  `json:"keyName"`
	KeyPrefix  string                  `json:"keyPrefix"`
	UserID     uuid.UUID               `json:"userId" format:"uuid" doc:"The key's owner."`
	Field      string                  `json:"field" doc:"In LiteLLM's words."`
	Ours       json.RawMessage         `json:"ours" doc:"What our row says."`
	Theirs     json.RawMessage         `json:"theirs" doc:"What LiteLLM holds, as of seenAt."`
	RunID      uuid.UUID               `json:"runId" format:"uuid" doc:"The sync that last saw it."`
	State      models.KeyConflictState `json:"state" enum:"open,resolved"`
	Resolution models.KeySide          `json:"resolution,omitempty" enum:"ours,theirs,agreed" doc:"agreed: both came to say the same, so nobody had to decide."`
	ResolvedBy string                  `json:"resolvedBy,omitempty"`
	ResolvedAt *time.Time              `json:"resolvedAt,omitempty"`
	CreatedAt  time.Time               `json:"createdAt"`
	SeenAt     time.Time               `json:"seenAt"`
}

func newKeyConflict(c models.KeyConflict) keyConflict {
	return keyConflict{
		ID: c.ID, KeyID: c.KeyID, KeyName: c.KeyName, KeyPrefix: c.KeyPrefix, UserID: c.OwnerID, Field: c.Field, Ours: c.Ours, Theirs: c.Theirs,
		RunID: c.RunID, State: c.State, Resolution: c.Resolution, ResolvedBy: c.ResolvedBy, ResolvedAt: utc(c.ResolvedAt),
		CreatedAt: c.CreatedAt.UTC(), SeenAt: c.SeenAt.UTC(),
	}
}

type listKeyConflictsRequest struct {
	Page  int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	State string `query:"state" enum:"open,resolved" doc:"Only conflicts in that state."`
	KeyID string `query:"keyId" format:"uuid" doc:"Only conflicts about that key."`
}

type listKeyConflictsResponse struct {
	Body struct {
		Data       []keyConflict `json:"data"`
		Pagination pagination    `json:"pagination"`
	}
}

// listKeyConflicts lists what a person has, or had, to decide about API keys.
func (s *Server) listKeyConflicts(ctx context.Context, in *listKeyConflictsRequest) (*listKeyConflictsResponse, error) {
	q := store.KeyConflictQuery{Page: in.Page, Limit: in.Limit, State: models.KeyConflictState(in.State)}
	if in.KeyID != "" {
		id, err := uuid.Parse(in.KeyID)
		if err != nil {
			return nil, models.Errorf(models.Invalid, "%q is no id of a key", in.KeyID).On("keyId")
		}
		q.KeyID = &id
	}
	found, total, err := s.Store.KeyConflicts(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listKeyConflictsResponse{}
	out.Body.Data = make([]keyConflict, 0, len(found))
	for _, c := range found {
		out.Body.Data = append(out.Body.Data, newKeyConflict(c))
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

type getKeyConflictRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type keyConflictResponse struct {
	Status int
	Body   keyConflict
}

func (s *Server) getKeyConflict(ctx context.Context, in *getKeyConflictRequest) (*keyConflictResponse, error) {
	c, err := s.Store.KeyConflict(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &keyConflictResponse{http.StatusOK, newKeyConflict(c)}, nil
}

type resolveKeyConflictRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body struct {
		Use string `json:"use" enum:"ours,theirs" doc:"Whose word counts."`
	}
}

// resolveKeyConflict decides whose word counts. The decision stands from the commit on; 202 says
// that LiteLLM does not follow yet.
func (s *Server) resolveKeyConflict(ctx context.Context, in *resolveKeyConflictRequest) (*keyConflictResponse, error) {
	c, err := s.Store.ResolveKeyConflict(ctx, in.ID, models.KeySide(in.Body.Use), actor(ctx))
	if err != nil {
		return nil, err
	}
	about(ctx, models.AuditOfKey, c.KeyID.String())
	s.followKeyRow(ctx, c.KeyID)
	if c, err = s.Store.KeyConflict(ctx, in.ID); err != nil {
		return nil, err
	}
	out := &keyConflictResponse{http.StatusOK, newKeyConflict(c)}
	if !c.KeySettled {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

// followKeyRow has LiteLLM follow the row of a key, and waits for it. What goes wrong behind the
// commit is no failure of the request's: the row is the wish, and Sweep sees to it.
func (s *Server) followKeyRow(ctx context.Context, id uuid.UUID) {
	run, err := workflows.Nudge(ctx, s.Temporal, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: id})
	if err == nil {
		_, err = run.Wait(ctx, s.patience(ctx))
	}
	if err != nil && models.KindOf(err) != models.Pending {
		slog.WarnContext(ctx, "LiteLLM follows an API key later", "key_id", id, "request_id", requestOf(ctx).id, "error", err)
	}
}
