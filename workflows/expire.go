package workflows

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/models"
)

// ExpireInput is empty: the time says what is due.
type ExpireInput struct{}

// WorkflowID is the beginning of the ID of each run; Temporal adds the time.
func (ExpireInput) WorkflowID() string { return "expire" }

// Summary is the run's line in the Temporal UI.
func (ExpireInput) Summary() string { return "Do what is due to subscriptions and API keys" }

// ExpireResult counts the subscriptions to which something was done, and the API keys.
type ExpireResult struct {
	Expired, Lapsed, Reset, Reminded, Noticed int

	Keys ExpiredKeys `json:",omitzero"`
}

// ExpiredKeys counts the API keys to which something was done. Those that expire, and alarms, are
// counted by ExpireKeys.
type ExpiredKeys struct {
	Rotated int // by policy
	Noticed int // their owners were told that they will expire, or be rotated
	Alarmed int `json:",omitzero"` // by runs from before ExpireKeys did it
}

// expireWithin is how long a step may be tried: what it does not get done, the next run does.
const expireWithin = 5 * time.Minute

// Expire is what the clock does to subscriptions, every minute: those whose time is over end,
// requests that nobody decided lapse, quotas are counted anew, and approvers and owners are
// reminded. LiteLLM follows by runs of their own. A step that fails holds up no other.
func Expire(ctx workflow.Context, _ ExpireInput) (ExpireResult, error) {
	var res ExpireResult
	var failed error
	note := func(n int, err error) int {
		if failed == nil {
			failed = err
		}
		return n
	}
	res.Expired = note(cascade(ctx, "End the subscriptions whose time is over", expireWithin, subscriptions.ExpireSubscriptions, activities.DueInput{}))
	res.Reset = note(cascade(ctx, "Count quotas anew where a month is over", expireWithin, subscriptions.ResetQuotas, activities.DueInput{}))
	res.Lapsed = note(due(ctx, "End the requests that nobody decided in time", subscriptions.LapseRequests))
	res.Reminded = note(due(ctx, "Remind approvers of the requests that wait for long", subscriptions.RemindApprovers))
	res.Noticed = note(due(ctx, "Tell owners of subscriptions that will expire soon", subscriptions.NoticeExpiry))
	if knows(ctx, changeExpireKeys) {
		note(0, expireKeys(ctx, &res.Keys))
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Expired: **%d**. Lapsed: %d. Quotas counted anew: %d. Reminders to approvers: %d. Notices to owners: %d.\n\n"+
		"API keys: rotated by policy: %d. Notices to owners: %d.",
		res.Expired, res.Lapsed, res.Reset, res.Reminded, res.Noticed, res.Keys.Rotated, res.Keys.Noticed))
	return res, failed
}

// due is a step that LiteLLM need not follow.
func due(ctx workflow.Context, summary string, act func(context.Context, activities.DueInput) (activities.DueResult, error)) (int, error) {
	res, err := regular(ctx, summary, expireWithin, act, activities.DueInput{})
	return res.Subscriptions, err
}

// expireKeys does what is due to API keys. ExpireKeys is first: it is about seconds.
func expireKeys(ctx workflow.Context, res *ExpiredKeys) error {
	failed := begin(ctx, ExpireKeys, ExpireKeysInput{})
	note := func(n int, err error) int {
		if failed == nil {
			failed = err
		}
		return n
	}
	if !knows(ctx, changeAlarmKeys) {
		res.Alarmed = note(dueKeys(ctx, "Raise the alarm for revoked API keys that LiteLLM still takes", keys.AlarmRevocations))
	}
	res.Noticed = note(dueKeys(ctx, "Tell owners of API keys that will expire or be rotated soon", keys.NoticeKeys))
	rotated, err := regular(ctx, "Rotate the API keys that are old enough by their policy", expireWithin, keys.RotateDueKeys, activities.DueInput{})
	res.Rotated = note(rotated.Rotated, err)
	var runs []workflow.ChildWorkflowFuture
	for _, id := range rotated.IDs {
		runs = append(runs, launch(ctx, RotateKey, RotateKeyInput{KeyID: id, Actor: models.System("Expire")}))
	}
	note(0, allBegun(ctx, runs))
	return failed
}

// dueKeys is due for API keys.
func dueKeys(ctx workflow.Context, summary string, act func(context.Context, activities.DueInput) (activities.DueKeysResult, error)) (int, error) {
	res, err := regular(ctx, summary, expireWithin, act, activities.DueInput{})
	return res.Keys, err
}
