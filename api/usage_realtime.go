package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

type usageRealtimeRequest struct {
	By       string    `query:"by" enum:"model,key,user,team" default:"model" doc:"What the items are."`
	UserID   uuid.UUID `query:"userId" format:"uuid" doc:"Of this user alone. Who may not see the usage of everybody sees his own in any case."`
	TeamID   uuid.UUID `query:"teamId" format:"uuid" doc:"Of keys of this team alone."`
	APIKeyID uuid.UUID `query:"apiKeyId" format:"uuid" doc:"Of this API key alone."`
	ModelID  string    `query:"modelId" maxLength:"500" doc:"Of this model alone."`
	Limit    int       `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many items."`
}

type usageRealtimeResponse struct{ Body usageRealtimeBody }

type usageRealtimeBody struct {
	At    time.Time           `json:"at" doc:"When the spans end."`
	Since time.Time           `json:"since" doc:"What is counted ended after that; later than an hour ago, if there was too much to keep."`
	By    string              `json:"by"`
	Total realtimeSpans       `json:"total" doc:"Of all items, also those left out."`
	Items []usageRealtimeItem `json:"items" doc:"What cost most in the hour comes first."`
	More  int                 `json:"more" doc:"How many items are left out."`
}

type usageRealtimeItem struct {
	ID    string        `json:"id" doc:"The name of the model; else the UUID, which is zero where it is not known."`
	Spans realtimeSpans `json:"spans"`
}

// realtimeSpans is what was used in each of the spans that end now. A call is counted when it ends.
type realtimeSpans struct {
	Minute      realtimeSums `json:"minute"`
	FiveMinutes realtimeSums `json:"fiveMinutes"`
	Hour        realtimeSums `json:"hour"`
}

type realtimeSums struct {
	Requests         int64      `json:"requests"`
	Errors           int64      `json:"errors"`
	ErrorRate        float64    `json:"errorRate" doc:"From 0 to 1."`
	PromptTokens     int64      `json:"promptTokens"`
	CompletionTokens int64      `json:"completionTokens"`
	TotalTokens      int64      `json:"totalTokens"`
	Cost             models.USD `json:"cost" doc:"In dollars."`
	AverageLatencyMS float64    `json:"averageLatencyMs"`
}

func newRealtimeSpans(s *usageSpansSums) realtimeSpans {
	return realtimeSpans{newRealtimeSums(s[0]), newRealtimeSums(s[1]), newRealtimeSums(s[2])}
}

func newRealtimeSums(s usageSums) realtimeSums {
	out := realtimeSums{
		Requests: s.requests, Errors: s.failed, PromptTokens: s.prompt, CompletionTokens: s.completion, TotalTokens: s.prompt + s.completion, Cost: s.cost,
	}
	if s.requests > 0 {
		out.ErrorRate, out.AverageLatencyMS = float64(s.failed)/float64(s.requests), float64(s.latencyMS)/float64(s.requests)
	}
	return out
}

// usageRealtime is what was used in the last minutes: by everybody, for who may see that; else by the
// caller.
func (s *Server) usageRealtime(ctx context.Context, in *usageRealtimeRequest) (*usageRealtimeResponse, error) {
	if err := in.confine(requestOf(ctx).caller); err != nil {
		return nil, err
	}
	body, err := s.usage.realtime(ctx, in)
	return &usageRealtimeResponse{body}, err
}

// confine narrows what is asked for to what the caller may see. It is Forbidden when he asks for
// somebody else's.
func (in *usageRealtimeRequest) confine(c caller) error {
	if c.May("admin:usage") {
		return nil
	}
	if !c.hasAccount() || in.UserID != uuid.Nil && in.UserID != c.UserID {
		return models.Errorf(models.Forbidden, "Access denied. Required permission: admin:usage").On("userId")
	}
	in.UserID = c.UserID
	return nil
}

// current is how old what is known may be, when nothing keeps it up to date.
const current = usagePoll + usagePoll/2

// realtime answers from memory. It is Unavailable when that is not up to date.
func (u *usage) realtime(ctx context.Context, in *usageRealtimeRequest) (usageRealtimeBody, error) {
	if err := u.recent.look(ctx, current); err != nil {
		return usageRealtimeBody{}, err
	}
	groups, total, since := u.recent.sum(in.name)
	out := usageRealtimeBody{At: time.Now().UTC(), Since: time.Unix(since, 0).UTC(), By: in.By, Total: newRealtimeSpans(&total), Items: []usageRealtimeItem{}}
	for id, sums := range groups {
		out.Items = append(out.Items, usageRealtimeItem{id, newRealtimeSpans(sums)})
	}
	slices.SortFunc(out.Items, func(a, b usageRealtimeItem) int {
		return cmp.Or(cmp.Compare(b.Spans.Hour.Cost, a.Spans.Hour.Cost), cmp.Compare(b.Spans.Hour.Requests, a.Spans.Hour.Requests), cmp.Compare(a.ID, b.ID))
	})
	shown := min(in.Limit, len(out.Items))
	out.Items, out.More = out.Items[:shown], len(out.Items)-shown
	return out, nil
}

// name is the item that usage belongs to, if it is asked for at all.
func (in *usageRealtimeRequest) name(of *usageOwner) (string, bool) {
	asked := (in.UserID == uuid.Nil || in.UserID == of.user) && (in.TeamID == uuid.Nil || in.TeamID == of.team) &&
		(in.APIKeyID == uuid.Nil || in.APIKeyID == of.key) && (in.ModelID == "" || in.ModelID == of.model)
	if !asked {
		return "", false
	}
	switch in.By {
	case "key":
		return of.key.String(), true
	case "user":
		return of.user.String(), true
	case "team":
		return of.team.String(), true
	}
	return of.model, true
}

// CountUsage keeps the usage of the last minutes up to date until ctx ends.
func (s *Server) CountUsage(ctx context.Context) { s.usage.recent.run(ctx) }
