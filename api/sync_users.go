package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

type listSyncUsersRequest struct {
	ID    uuid.UUID `path:"id" format:"uuid"`
	Page  int       `query:"page" minimum:"1" maximum:"999999" default:"1"`
	Limit int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Kind  string    `query:"kind" enum:"missing,different,unknown" doc:"Only differences of that kind."`
}

// userDifference is what a run found about one user.
type userDifference struct {
	UserID string                    `json:"userId" doc:"As LiteLLM names him."`
	Kind   models.UserDifferenceKind `json:"kind" enum:"missing,different,unknown"`
	Fields []models.FieldChange      `json:"fields" doc:"Of one who differs: what LiteLLM held, and what it is to hold."`
}

type listSyncUsersResponse struct {
	Body struct {
		Data       []userDifference `json:"data"`
		Pagination pagination       `json:"pagination"`
	}
}

// listSyncUsers lists what a sync found about users.
func (s *Server) listSyncUsers(ctx context.Context, in *listSyncUsersRequest) (*listSyncUsersResponse, error) {
	if _, err := s.Store.SyncRun(ctx, in.ID); err != nil {
		return nil, err
	}
	found, total, err := s.Store.UserDifferences(ctx, in.ID, store.UserDifferenceQuery{
		Page: in.Page, Limit: in.Limit, Kind: models.UserDifferenceKind(in.Kind),
	})
	if err != nil {
		return nil, err
	}
	out := &listSyncUsersResponse{}
	out.Body.Data = make([]userDifference, 0, len(found))
	for _, d := range found {
		out.Body.Data = append(out.Body.Data, userDifference{d.UserID, d.Kind, append([]models.FieldChange{}, d.Fields...)})
	}
	out.Body.Pagination = newPagination(in.Page, in.Limit, total)
	return out, nil
}
