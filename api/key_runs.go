package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/workflows"
)

// settleNew has LiteLLM follow a new key, and waits for it. A key that LiteLLM refuses is taken
// back, as its owner was never given it: that is Conflict. What else goes wrong behind the commit
// is no failure of the request's: the row is the wish, and Sweep sees to it.
func (s *Server) settleNew(ctx context.Context, k models.Key, until time.Time) error {
	s.expireKey(ctx, k)
	err := s.keys.Settle(ctx, k.ID, time.Until(until))
	why, refused := s.refusal(ctx, k, err)
	if !refused {
		later(ctx, err)
		return nil
	}
	end := store.KeyEnd{UserID: k.UserID, ID: k.ID, Why: "Refused by LiteLLM: " + why, Delete: true}
	if _, err := s.Store.EndKey(ctx, end, actor(ctx)); err != nil {
		return err
	}
	_, lost := workflows.Nudge(ctx, s.Temporal, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID})
	later(ctx, lost)
	return err
}

// refusal is why LiteLLM refuses a key as it is now, if that is what the failure of its run says.
func (s *Server) refusal(ctx context.Context, k models.Key, failure error) (why string, refused bool) {
	if models.KindOf(failure) != models.Conflict {
		return "", false
	}
	now, err := s.Store.Key(ctx, k.ID)
	return now.Failure, err == nil && now.FailedGeneration == now.Generation
}

// followKey has LiteLLM follow a key that has changed, if it has to, and waits for it. It is
// Conflict when LiteLLM refuses the key as it is now.
func (s *Server) followKey(ctx context.Context, k models.Key, until time.Time) error {
	s.expireKey(ctx, k)
	if k.Settled() {
		return nil
	}
	run, err := workflows.Nudge(ctx, s.Temporal, workflows.ReconcileKey, workflows.ReconcileKeyInput{KeyID: k.ID})
	if err == nil {
		_, err = run.Wait(ctx, time.Until(until))
	}
	if _, refused := s.refusal(ctx, k, err); refused {
		return err
	}
	later(ctx, err)
	return nil
}

// expireKey has a key revoked in its second that ends so soon that the clock may not look before.
func (s *Server) expireKey(ctx context.Context, k models.Key) {
	if k.RevokedAt != nil || k.ExpiresAt == nil || time.Until(*k.ExpiresAt) > workflows.ExpireAhead {
		return
	}
	_, err := workflows.Nudge(ctx, s.Temporal, workflows.ExpireKeys, workflows.ExpireKeysInput{})
	later(ctx, err)
}

// later notes that LiteLLM follows a key after the answer.
func later(ctx context.Context, err error) {
	if err != nil && models.KindOf(err) != models.Pending {
		slog.WarnContext(ctx, "LiteLLM follows an API key later", "request_id", requestOf(ctx).id, "error", err)
	}
}
