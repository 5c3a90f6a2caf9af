package activities

import (
	"context"
	"time"

	"github.com/litemaas/litemaas/models"
)

// usageAhead is how many days beyond today have a partition. What is told of another day gets one
// then.
const usageAhead = 7

// CleanUsageInput is empty.
type CleanUsageInput struct{}

// CleanUsageResult counts what was made and taken away.
type CleanUsageResult struct {
	Made    int // partitions, of days to come
	Dropped int // of days that are too old
	Hours   int // sums of hours
	Windows int // that were read at LiteLLM
}

// CleanUsage makes the partitions of the days to come, drops those of which every call is older
// than the retention, and takes away what nobody looks at any more.
func (a *Usage) CleanUsage(ctx context.Context, _ CleanUsageInput) (CleanUsageResult, error) {
	defer beat(ctx)()
	var res CleanUsageResult
	var err error
	if res.Made, err = a.Store.EnsureUsagePartitions(ctx, usageAhead); err != nil {
		return res, err
	}
	if a.Retention > 0 {
		gone, err := a.Store.DropUsageBefore(ctx, time.Now().Add(-a.Retention), models.System("Clean"))
		if err != nil {
			return res, err
		}
		res.Dropped = len(gone.Partitions)
	}
	forgotten, err := a.Store.ForgetUsage(ctx)
	res.Hours, res.Windows = forgotten.Hours, forgotten.Windows
	return res, err
}
