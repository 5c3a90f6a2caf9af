package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/workflows"
)

// UsageConfig says who may tell us of usage.
type UsageConfig struct {
	PushSecret models.Secret `mapstructure:"push_secret"` // that LiteLLM sends along; none: it cannot
}

const minPushSecret = 16

// Check reports what is wrong with the configuration; the error is Invalid and names the field.
func (c UsageConfig) Check() error {
	if !c.PushSecret.IsZero() && len(c.PushSecret.Reveal()) < minPushSecret {
		return models.Errorf(models.Invalid, "must have at least %d characters", minPushSecret).On("push_secret")
	}
	return nil
}

const (
	// usageEventsPath is where LiteLLM tells us of usage.
	usageEventsPath = "/api/v1/usage/events"

	// maxUsageBody is how large a body may be there, in bytes: LiteLLM sends 512 calls at once, which
	// with their messages have some 12 KB each, or more.
	maxUsageBody = 32 << 20

	// usageBodies is how much of that is held in memory at the same time.
	usageBodies = 4 * maxUsageBody
)

// usage is what the routes about usage share.
type usage struct {
	collector usageCollector
	recent    *recentUsage
	streams   streams
	secret    [sha256.Size]byte
	bodies    atomic.Int64   // bytes that are held in memory, or will be
	under     sync.WaitGroup // what goes on without a request
	judging   judging
}

func newUsage(s *Server) *usage {
	ledger := s.Ledger
	if ledger == nil {
		ledger = s.Store
	}
	u := &usage{recent: newRecentUsage(ledger), streams: newStreams(), secret: sha256.Sum256([]byte(s.Config.Usage.PushSecret.Reveal()))}
	u.collector = usageCollector{ledger: ledger, after: s.recorded, under: &u.under}
	return u
}

// usagePushRoutes is the part of the index that is about usage as it happens.
func (s *Server) usagePushRoutes(r *router) {
	push := public.limited(free).takes("What LiteLLM's callback generic_api sends: StandardLoggingPayload objects, in any of its log formats.", "application/json", "application/x-ndjson")
	route(r, push.post(usageEventsPath, "pushUsage", "Tell of calls of models, as LiteLLM does"), s.pushUsage)
	route(r, may("usage:read").get("/api/v1/usage/realtime", "usageRealtime", "See the usage of the last minutes"), s.usageRealtime)
	route(r, may("usage:read").get("/api/v1/usage/realtime/stream", "streamUsageRealtime", "Be told of the usage of the last minutes, whenever it changes, by server-sent events"), s.streamUsageRealtime)
}

type pushUsageRequest struct {
	Secret string `header:"X-Litemaas-Usage" doc:"usage.push_secret; or as Authorization: Bearer."`

	http *http.Request
}

// Resolve keeps the request: its body is larger than huma should read, and is nobody's business
// before the secret is seen to be right.
func (in *pushUsageRequest) Resolve(ctx huma.Context) []error {
	in.http = humagin.Unwrap(ctx).Request
	return nil
}

type pushUsageResponse struct {
	Body struct {
		Recorded  int             `json:"recorded" doc:"Entries that the ledger did not have."`
		Known     int             `json:"known" doc:"That it had."`
		Corrected int             `json:"corrected" doc:"That it had, and otherwise."`
		Requests  int             `json:"requests" doc:"How many requests shared a transaction, whose entries the above counts; 1: this one alone."`
		Rejected  []rejectedUsage `json:"rejected" doc:"Calls of this request that the ledger cannot take."`
	}
}

type rejectedUsage struct {
	Index   int    `json:"index" doc:"From 0."`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// pushUsage records what LiteLLM tells of, and answers when that is committed.
func (s *Server) pushUsage(ctx context.Context, in *pushUsageRequest) (*pushUsageResponse, error) {
	if err := s.admitPush(in); err != nil {
		return nil, err
	}
	got, err := s.usage.read(ctx, in.http)
	if err != nil {
		return nil, err
	}
	if len(got.Rejected) > 0 {
		slog.WarnContext(ctx, "LiteLLM told of calls that the ledger cannot take", "request_id", requestOf(ctx).id, "rejected", len(got.Rejected),
			"field", got.Rejected[0].Field, "error", got.Rejected[0].Message)
	}
	out := &pushUsageResponse{}
	b := &out.Body
	b.Rejected = make([]rejectedUsage, len(got.Rejected))
	for i, r := range got.Rejected {
		b.Rejected[i] = rejectedUsage{r.Index, r.Field, r.Message}
	}
	if len(got.Events) == 0 {
		return out, noneTaken(ctx, b.Rejected)
	}
	done, err := s.usage.collector.record(ctx, got.Events)
	if err != nil {
		return nil, err
	}
	b.Recorded, b.Known, b.Corrected, b.Requests = done.New, done.Known, done.Corrected, done.requests
	return out, nil
}

// admitPush lets who knows the secret tell of usage. The time that it takes says nothing about it.
func (s *Server) admitPush(in *pushUsageRequest) error {
	if s.Config.Usage.PushSecret.IsZero() {
		return models.Errorf(models.NotFound, "nobody may tell of usage: set usage.push_secret, and have LiteLLM's callback generic_api send it in the header x-litemaas-usage")
	}
	byHeader, byBearer := sha256.Sum256([]byte(in.Secret)), sha256.Sum256([]byte(keyOf(in.http.Header)))
	if subtle.ConstantTimeCompare(byHeader[:], s.usage.secret[:])|subtle.ConstantTimeCompare(byBearer[:], s.usage.secret[:]) != 1 {
		return models.Errorf(models.Forbidden, "Access denied. This is for LiteLLM only: it has to send usage.push_secret in the header x-litemaas-usage")
	}
	return nil
}

// read reads what a request tells of, if there is memory to hold it.
func (u *usage) read(ctx context.Context, r *http.Request) (models.UsagePayload, error) {
	size := r.ContentLength
	if size < 0 {
		size = maxUsageBody
	}
	defer u.bodies.Add(-size)
	if u.bodies.Add(size) > usageBodies {
		return models.UsagePayload{}, errUsageBusy
	}
	body := make([]byte, max(0, r.ContentLength))
	_, err := io.ReadFull(r.Body, body)
	if r.ContentLength < 0 {
		body, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, maxUsageBody))
	}
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return models.UsagePayload{}, tooLarge(ctx, maxUsageBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return models.UsagePayload{}, invalid(ctx, http.StatusRequestTimeout, "", nil)
	case err != nil:
		return models.UsagePayload{}, models.Wrap(models.Invalid, err, "cannot be read to its end").On("body")
	}
	return models.ReadUsagePayload(body, time.Now())
}

// noneTaken is the answer when the ledger can take nothing of what was sent; nil: nothing was.
func noneTaken(ctx context.Context, rejected []rejectedUsage) error {
	if len(rejected) == 0 {
		return nil
	}
	const most = 20
	var fields []fieldError
	for _, r := range rejected[:min(most, len(rejected))] {
		fields = append(fields, fieldError{strconv.Itoa(r.Index) + "." + r.Field, r.Message, "invalid"})
	}
	return newProblem(ctx, meanings[models.Invalid], "No call could be recorded", fields...)
}

// recorded sees to what follows from usage, beside the requests.
func (s *Server) recorded(rec models.Recorded) {
	u := s.usage
	u.recent.wake()
	if rec.Due && u.judging.begin() {
		u.under.Go(s.enforceBudgets)
	}
	if len(rec.Follow) > 0 {
		u.under.Go(func() {
			now := time.Now() // nobody waits for them
			each(context.Background(), len(rec.Follow), now, func(start context.Context, i int) { s.followCascade(start, rec.Follow[i], now) })
		})
	}
}

// enforceBudgets has the budgets judged that are due. If no run can be started, Sweep does it.
func (s *Server) enforceBudgets() {
	for again := true; again; again = s.usage.judging.again() {
		_, err := workflows.Nudge(context.Background(), s.Temporal, workflows.EnforceBudgets, workflows.EnforceBudgetsInput{})
		if err != nil {
			slog.Warn("budgets are judged later", "error", err)
		}
	}
}

// judging makes one nudge of many: of those that come while one is under way, one more.
type judging struct {
	mu          sync.Mutex
	under, more bool
}

// begin reports whether the caller is to nudge.
func (j *judging) begin() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	began := !j.under
	j.under, j.more = true, !began
	return began
}

// again reports whether he is to do it once more.
func (j *judging) again() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.under, j.more = j.more, false
	return j.under
}

// Drain returns when nothing is under way any more that requests have left behind. No request may come
// any more.
func (s *Server) Drain() { s.usage.under.Wait() }
