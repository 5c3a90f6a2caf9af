package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// keyOrphan is one of LiteLLM's keys that is not ours.
type keyOrphan struct {
	Hash        string             `json:"hash" doc:"LiteLLM's name for it: the SHA-256 of the key."`
	Alias       string             `json:"alias" doc:"LiteLLM's key_alias."`
	UserID      string             `json:"userId" doc:"Whose it is, by LiteLLM's word; it may be nobody."`
	Suspect     bool               `json:"suspect" doc:"It claims to be ours, or is of one of our users."`
	State       models.OrphanState `json:"state" enum:"seen,quarantined,adopted,deleted,released" doc:"What is to become of it."`
	Settled     bool               `json:"settled" doc:"Whether LiteLLM was seen to follow."`
	Failure     string             `json:"failure,omitempty" doc:"Why LiteLLM refuses to."`
	DeleteAfter *time.Time         `json:"deleteAfter,omitempty" doc:"When a quarantined one will be deleted."`
	KeyID       *uuid.UUID         `json:"keyId,omitempty" format:"uuid" doc:"What it is as one of ours."`
	DecidedBy   string             `json:"decidedBy,omitempty"`
	DecidedAt   *time.Time         `json:"decidedAt,omitempty"`
	FirstSeen   time.Time          `json:"firstSeen"`
	LastSeen    time.Time          `json:"lastSeen" doc:"By a sync."`
}

func newKeyOrphan(o models.KeyOrphan) keyOrphan {
	return keyOrphan{
		Hash: o.Hash, Alias: o.Alias, UserID: o.UserID, Suspect: o.Suspect, State: o.State, Settled: o.Settled, Failure: o.Failure,
		DeleteAfter: utc(o.DeleteAfter), KeyID: o.KeyID, DecidedBy: o.DecidedBy, DecidedAt: utc(o.DecidedAt),
		FirstSeen: o.FirstSeen.UTC(), LastSeen: o.LastSeen.UTC(),
	}
}

type listKeyOrphansRequest struct {
	Page    int    `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	State   string `query:"state" enum:"seen,quarantined,adopted,deleted,released" doc:"Only keys in that state."`
	Suspect string `query:"suspect" enum:"true,false" doc:"Only keys that do, or do not, claim to be ours."`
}

type listKeyOrphansResponse struct {
	Body struct {
		Data       []keyOrphan `json:"data"`
		Pagination pagination  `json:"pagination"`
	}
}

// listKeyOrphans lists LiteLLM's keys that are not ours, as the last sync saw them.
func (s *Server) listKeyOrphans(ctx context.Context, in *listKeyOrphansRequest) (*listKeyOrphansResponse, error) {
	q := store.KeyOrphanQuery{Page: in.Page, Limit: in.Limit, State: models.OrphanState(in.State)}
	if in.Suspect != "" {
		q.Suspect = new(in.Suspect == "true")
	}
	found, total, err := s.Store.KeyOrphans(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &listKeyOrphansResponse{}
	out.Body.Data = make([]keyOrphan, 0, len(found))
	for _, o := range found {
		out.Body.Data = append(out.Body.Data, newKeyOrphan(o))
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}

// orphanPath names one of LiteLLM's keys that are not ours.
type orphanPath struct {
	Hash string `path:"hash" pattern:"^[0-9a-f]{64}$" patternDescription:"the hex SHA-256 of a key"`
}

type keyOrphanResponse struct {
	Status int
	Body   keyOrphan
}

type adoptKeyOrphanRequest struct {
	Hash string `path:"hash" pattern:"^[0-9a-f]{64}$" patternDescription:"the hex SHA-256 of a key"`
	Body *struct {
		UserID *uuid.UUID `json:"userId,omitempty" format:"uuid" doc:"Whose it shall be; left out: whose it is by LiteLLM's word."`
	}
}

// adoptKeyOrphan makes one of ours of a key that LiteLLM has. Nobody here knows its secret: it can
// be changed, blocked and revoked, but neither revealed, nor made again should LiteLLM lose it.
func (s *Server) adoptKeyOrphan(ctx context.Context, in *adoptKeyOrphanRequest) (*keyOrphanResponse, error) {
	var owner uuid.UUID
	if in.Body != nil && in.Body.UserID != nil {
		owner = *in.Body.UserID
	}
	k, err := s.Store.AdoptOrphan(ctx, in.Hash, owner, actor(ctx))
	if err != nil {
		return nil, err
	}
	about(ctx, models.AuditOfKey, k.ID.String())
	s.followKeyRow(ctx, k.ID)
	out, err := s.orphan(ctx, in.Hash)
	if err != nil {
		return nil, err
	}
	if k, err = s.Store.Key(ctx, k.ID); err == nil && !k.Settled() {
		out.Status = http.StatusAccepted
	}
	return out, err
}

// releaseKeyOrphan has LiteLLM take a key again that was quarantined. No sync asks about it again.
func (s *Server) releaseKeyOrphan(ctx context.Context, in *orphanPath) (*keyOrphanResponse, error) {
	if _, err := s.Store.ReleaseOrphan(ctx, in.Hash, actor(ctx)); err != nil {
		return nil, err
	}
	return s.followOrphan(ctx, in.Hash)
}

func (s *Server) deleteKeyOrphan(ctx context.Context, in *orphanPath) (*keyOrphanResponse, error) {
	if _, err := s.Store.DeleteOrphan(ctx, in.Hash, actor(ctx)); err != nil {
		return nil, err
	}
	return s.followOrphan(ctx, in.Hash)
}

// followOrphan has LiteLLM follow what was decided, and waits for it. What goes wrong behind the
// commit is no failure of the request's: the row is the wish, and Sweep sees to it.
func (s *Server) followOrphan(ctx context.Context, hash string) (*keyOrphanResponse, error) {
	about(ctx, models.AuditOfOrphan, hash)
	run, err := workflows.Nudge(ctx, s.Temporal, workflows.QuarantineOrphans, workflows.QuarantineOrphansInput{})
	if err == nil {
		_, err = run.Wait(ctx, s.patience(ctx))
	}
	if err != nil && models.KindOf(err) != models.Pending {
		slog.WarnContext(ctx, "LiteLLM follows what was decided about a key later", "hash", hash, "request_id", requestOf(ctx).id, "error", err)
	}
	return s.orphan(ctx, hash)
}

// orphan is one as it stands: 202 says that LiteLLM does not follow yet.
func (s *Server) orphan(ctx context.Context, hash string) (*keyOrphanResponse, error) {
	o, err := s.Store.KeyOrphan(ctx, hash)
	if err != nil {
		return nil, err
	}
	out := &keyOrphanResponse{http.StatusOK, newKeyOrphan(o)}
	if !o.Settled {
		out.Status = http.StatusAccepted
	}
	return out, nil
}
