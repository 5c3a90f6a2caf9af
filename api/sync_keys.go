package api

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

type listSyncKeysRequest struct {
	ID    uuid.UUID `path:"id" format:"uuid"`
	Page  int       `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Kind  string    `query:"kind" enum:"missing,different,unknown" doc:"Only differences of that kind."`
}

// keyDifference is what a run found about one API key.
type keyDifference struct {
	KeyID  *uuid.UUID               `json:"keyId" format:"uuid" doc:"null: it is not ours."`
	Hash   string                   `json:"hash" doc:"LiteLLM's name for it: the SHA-256 of the key."`
	Alias  string                   `json:"alias" doc:"LiteLLM's key_alias."`
	Kind   models.KeyDifferenceKind `json:"kind" enum:"missing,different,unknown"`
	Fields []keyFieldChange         `json:"fields" doc:"models, blocked: what LiteLLM held, and what it is to hold; there, no models are every model, and none to hold are no key. subscriptions: the models of our own row, and those that its owner is subscribed to. Others: what LiteLLM held, and what our row said."`
}

// keyFieldChange is models.KeyFieldChange as it is sent.
type keyFieldChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old"`
	New   json.RawMessage `json:"new"`
	Wins  models.KeySide  `json:"wins,omitempty" enum:"theirs,open" doc:"Whose word counts: LiteLLM's, or a person's, who has to decide; left out: ours."`
}

type listSyncKeysResponse struct {
	Body struct {
		Data       []keyDifference `json:"data"`
		Pagination pagination      `json:"pagination"`
	}
}

// listSyncKeys lists what a sync found about API keys.
func (s *Server) listSyncKeys(ctx context.Context, in *listSyncKeysRequest) (*listSyncKeysResponse, error) {
	if _, err := s.Store.SyncRun(ctx, in.ID); err != nil {
		return nil, err
	}
	found, total, err := s.Store.KeyDifferences(ctx, in.ID, store.KeyDifferenceQuery{
		Page: in.Page, Limit: in.Limit, Kind: models.KeyDifferenceKind(in.Kind),
	})
	if err != nil {
		return nil, err
	}
	out := &listSyncKeysResponse{}
	out.Body.Data = make([]keyDifference, 0, len(found))
	for _, d := range found {
		line := keyDifference{KeyID: d.KeyID, Hash: d.Hash, Alias: d.Alias, Kind: d.Kind, Fields: []keyFieldChange{}}
		for _, f := range d.Fields {
			line.Fields = append(line.Fields, keyFieldChange(f))
		}
		out.Body.Data = append(out.Body.Data, line)
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}
