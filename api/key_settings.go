package api

import (
	"context"

	"github.com/litemaas/litemaas/models"
)

// keyLimitDefaults is models.KeyLimitDefaults as it is sent.
type keyLimitDefaults struct {
	MaxBudget      *models.USD `json:"maxBudget" required:"false" nullable:"true" minimum:"0" maximum:"1000000000" doc:"In dollars."`
	TPM            *int64      `json:"tpmLimit" required:"false" minimum:"0" maximum:"9007199254740991" doc:"Tokens a minute."`
	RPM            *int64      `json:"rpmLimit" required:"false" minimum:"0" maximum:"9007199254740991" doc:"Requests a minute."`
	BudgetDuration *string     `json:"budgetDuration" required:"false" pattern:"^(daily|weekly|monthly|yearly|[1-9][0-9]{0,8}([smhd]|mo))$" patternDescription:"daily, weekly, monthly, yearly, or such as 12h, 30d or 1mo" doc:"After which the budget begins anew."`
	SoftBudget     *models.USD `json:"softBudget" required:"false" nullable:"true" minimum:"0" maximum:"1000000000" doc:"In dollars; a warning, no limit."`
	ExpirationDays *int        `json:"expirationDays" required:"false" minimum:"1" maximum:"36525" doc:"How long a key lives."`
}

// keyLimitMaximums is models.KeyLimitMaximums as it is sent.
type keyLimitMaximums struct {
	MaxBudget      *models.USD `json:"maxBudget" required:"false" nullable:"true" minimum:"0" maximum:"1000000000" doc:"In dollars."`
	TPM            *int64      `json:"tpmLimit" required:"false" minimum:"0" maximum:"9007199254740991" doc:"Tokens a minute."`
	RPM            *int64      `json:"rpmLimit" required:"false" minimum:"0" maximum:"9007199254740991" doc:"Requests a minute."`
	ExpirationDays *int        `json:"expirationDays" required:"false" minimum:"1" maximum:"36525" doc:"How long a key may live."`
}

type keyDefaultsBody struct {
	Defaults keyLimitDefaults `json:"defaults" doc:"What a key gets that asks for nothing; null: nothing."`
	Maximums keyLimitMaximums `json:"maximums" doc:"What no key of a user may exceed; null: there is none."`
}

type keyDefaultsResponse struct{ Body keyDefaultsBody }

// getKeyDefaults is what the web UI asks before somebody makes a key, and what admins look at.
func (s *Server) getKeyDefaults(ctx context.Context, _ *struct{}) (*keyDefaultsResponse, error) {
	d, err := s.Store.KeyDefaults(ctx)
	if err != nil {
		return nil, err
	}
	return &keyDefaultsResponse{keyDefaultsBody{keyLimitDefaults(d.Defaults), keyLimitMaximums(d.Maximums)}}, nil
}

type setKeyDefaultsRequest struct{ Body keyDefaultsBody }

// setKeyDefaults replaces all of it: what the request leaves out is null. Keys that are there
// stay as they are.
func (s *Server) setKeyDefaults(ctx context.Context, in *setKeyDefaultsRequest) (*keyDefaultsResponse, error) {
	to := models.KeyDefaults{
		Defaults: models.KeyLimitDefaults(in.Body.Defaults), Maximums: models.KeyLimitMaximums(in.Body.Maximums),
	}
	if err := s.Store.SetKeyDefaults(ctx, to, actor(ctx)); err != nil {
		return nil, err
	}
	return &keyDefaultsResponse{in.Body}, nil
}
