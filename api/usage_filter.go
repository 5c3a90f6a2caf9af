package api

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// UsageFilter selects usage. It is exported for huma; see AuditFilter.
type UsageFilter struct {
	StartDate      string `query:"startDate" maxLength:"50" example:"2026-01-31" doc:"From then on: a day of UTC, or a time, which is taken down to the hour. Left out: the last 30 days."`
	EndDate        string `query:"endDate" maxLength:"50" doc:"Until then; a day is taken whole, and a time up to the hour. Left out: today."`
	TimeRange      string `query:"timeRange" maxLength:"10" pattern:"^(day|week|month|[1-9][0-9]{0,3}[dh])$" patternDescription:"day, week, month, or a number of days or hours such as 90d or 12h" example:"7d" doc:"In place of the dates: the last days or hours, with the present one. A day are 24 hours, a week 7 days, a month 30."`
	ModelID        string `query:"modelId" maxLength:"500" pattern:"^[^\\x00]*$" patternDescription:"text" doc:"Of this model alone."`
	SubscriptionID string `query:"subscriptionId" format:"uuid" doc:"Of this subscription alone."`
	APIKeyID       string `query:"apiKeyId" format:"uuid" doc:"Of this API key alone."`
	UserID         string `query:"userId" format:"uuid" doc:"Of this user, for who may see the usage of everybody."`
	Scope          string `query:"scope" enum:"all" doc:"Of everybody, for who may see that."`
}

// LiteMaaS's words for what is wrong with dates.
const (
	badDateFormat = "INVALID_DATE_FORMAT"
	badDateRange  = "INVALID_DATE_RANGE"
	dateRangeLong = "DATE_RANGE_TOO_LARGE"
)

// defaultUsageDays is how many days are told of, if nobody says.
const defaultUsageDays = 30

// query is the filter as the store knows it, of usage that is told unit by unit.
func (f *UsageFilter) query(ctx context.Context, by models.UsageUnit) (store.UsageQuery, error) {
	q := store.UsageQuery{ModelID: f.ModelID}
	var err error
	if q.UserID, err = f.whose(requestOf(ctx).caller); err != nil {
		return q, err
	}
	q.SubscriptionID, _ = uuid.Parse(f.SubscriptionID) // huma has seen to it that these are some
	q.APIKeyID, _ = uuid.Parse(f.APIKeyID)
	q.UsageRange, err = f.span(ctx, by, time.Now())
	return q, err
}

// whose usage is asked for; nil is everybody's. An admin key has none of its own.
func (f *UsageFilter) whose(c caller) (*uuid.UUID, error) {
	id, err := uuid.Parse(f.UserID)
	switch named := err == nil; {
	case named && f.Scope != "":
		return nil, models.Errorf(models.Invalid, "must not be given with userId").On("scope")
	case c.hasAccount() && f.Scope == "" && (!named || id == c.UserID):
		return &c.UserID, nil
	case !c.May("admin:usage"):
		return nil, models.Errorf(models.Forbidden, "Access denied. Required permission: admin:usage")
	case named:
		return &id, nil
	}
	return nil, nil
}

// span is the time that is asked for.
func (f *UsageFilter) span(ctx context.Context, by models.UsageUnit, now time.Time) (models.UsageRange, error) {
	r, err := f.dates(ctx, now)
	if err != nil {
		return r, err
	}
	field := "startDate"
	if f.TimeRange != "" {
		field = "timeRange"
	}
	most, days := r.MaxDays(by), int(math.Ceil(r.Length().Hours()/24))
	switch {
	case days > most:
		return r, coded(ctx, dateRangeLong, field, "Date range too large. Maximum allowed is %d days, requested %d days", most, days)
	case r.From.Year() < 2020, r.From.After(now.Add(24 * time.Hour)): // somewhere it is tomorrow
		return r, coded(ctx, badDateRange, field, "Start date must be from 2020 on, and not in the future")
	}
	return r, nil
}

// dates reads the time that is asked for, however long it is.
func (f *UsageFilter) dates(ctx context.Context, now time.Time) (models.UsageRange, error) {
	none := models.UsageRange{}
	if f.TimeRange != "" {
		if f.StartDate != "" || f.EndDate != "" {
			return none, models.Errorf(models.Invalid, "must not be given with dates").On("timeRange")
		}
		return lastUsage(f.TimeRange, now), nil
	}
	from, _, err := moment(f.StartDate, "startDate")
	if err != nil {
		return none, coded(ctx, badDateFormat, "startDate", "%s", err)
	}
	until, day, err := moment(f.EndDate, "endDate")
	switch {
	case err != nil:
		return none, coded(ctx, badDateFormat, "endDate", "%s", err)
	case f.EndDate == "":
		until = models.LastDays(1, now).Until
	case day:
		until = until.AddDate(0, 0, 1)
	}
	if f.StartDate == "" {
		from = until.AddDate(0, 0, -defaultUsageDays)
	}
	if !from.Before(until) {
		return none, coded(ctx, badDateRange, "startDate", "Start date must be before or equal to end date")
	}
	return models.NewUsageRange(from, until), nil
}

// lastUsage is a range by its name.
func lastUsage(name string, now time.Time) models.UsageRange {
	switch name {
	case "day":
		return models.LastHours(24, now)
	case "week":
		return models.LastDays(7, now)
	case "month":
		return models.LastDays(defaultUsageDays, now)
	}
	n, _ := strconv.Atoi(name[:len(name)-1]) // the pattern says that it is a number
	if name[len(name)-1] == 'h' {
		return models.LastHours(n, now)
	}
	return models.LastDays(n, now)
}

// coded is that a field is Invalid, with LiteMaaS's word for why.
func coded(ctx context.Context, code, field, format string, args ...any) *problem {
	p := fail(ctx, models.Errorf(models.Invalid, "%s", fmt.Sprintf(format, args...)).On(field))
	p.Code, p.Envelope.Code = code, code
	return p
}
