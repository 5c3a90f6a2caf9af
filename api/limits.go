package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/api/ratelimit"
	"github.com/litemaas/litemaas/models"
)

// Limits is how much each may ask of us. A request counts against everything that its caller
// is: his API key, himself, his teams but the default one, which is everybody's. Only who does not say who he is, or says it wrongly, is
// counted by his address: an office, or all behind a proxy that nobody has told us of, share
// one, and must not lock each other out. Guessing a key is not what this is to prevent: there
// are too many to guess.
type Limits struct {
	IP     ratelimit.Rate `mapstructure:"ip"`
	User   ratelimit.Rate `mapstructure:"user"`
	Team   ratelimit.Rate `mapstructure:"team"`
	APIKey ratelimit.Rate `mapstructure:"api_key"`

	Login     ratelimit.Rate `mapstructure:"login"`
	Reveal    ratelimit.Rate `mapstructure:"reveal"`
	Analytics ratelimit.Rate `mapstructure:"analytics"`
	Export    ratelimit.Rate `mapstructure:"export"`
}

// class is what an endpoint costs, where that is more than any request does: a limit of its
// own for each caller, beside those of the caller.
type class string

const (
	ordinary       class = ""
	free           class = "free" // not counted: probes, and what a web UI reads before anything else
	classLogin     class = "login"
	classReveal    class = "reveal"
	classAnalytics class = "analytics"
	classExport    class = "export"
)

func (l Limits) of(c class) ratelimit.Rate {
	return map[class]ratelimit.Rate{
		classLogin: l.Login, classReveal: l.Reveal, classAnalytics: l.Analytics, classExport: l.Export,
	}[c]
}

// limiter counts requests.
type limiter struct {
	limits  Limits
	counter ratelimit.Counter
}

// count counts a request to an endpoint of that class, tells the caller what is left, and
// answers for the endpoint when he has had enough.
func (l limiter) count(c class) gin.HandlerFunc {
	if c == free {
		return func(*gin.Context) {}
	}
	own := l.limits.of(c)
	return func(g *gin.Context) {
		ctx := g.Request.Context()
		buckets := l.buckets(requestOf(ctx), c, own)
		if len(buckets) == 0 {
			return
		}
		v := l.counter.Take(ctx, buckets...)
		tell(g.Writer.Header(), v)
		if v.Refused() {
			answer(g, tooMany(ctx, v, c))
		}
	}
}

// buckets is what a request counts in.
func (l limiter) buckets(r *request, c class, own ratelimit.Rate) []ratelimit.Bucket {
	out := make([]ratelimit.Bucket, 0, 4)
	add := func(limit, whose string, rate ratelimit.Rate) {
		if whose != "" && !rate.IsZero() {
			out = append(out, ratelimit.Bucket{ID: ratelimit.ID{Limit: limit, Whose: whose}, Rate: rate})
		}
	}
	who := r.caller.id
	if who == "" {
		who = network(r.ip)
		add("ip", who, l.limits.IP)
	}
	add("api_key", r.caller.apiKey, l.limits.APIKey)
	add("user", r.caller.user, l.limits.User)
	for _, team := range r.caller.teams {
		add("team", team, l.limits.Team)
	}
	add(string(c), who, own)
	return out
}

// limitHeaders are what tell sends, spelled as net/http keeps them; pages of other origins may
// read them.
var limitHeaders = []string{
	"Ratelimit-Policy", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset",
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset",
}

// tell says what is left of the strictest limit: in LiteMaaS's headers; in the same without
// the X, which the IETF's drafts up to 06 had and clients and gateways read; and, as there are
// several limits, which one it is, in the syntax of the draft since.
func tell(h http.Header, v ratelimit.Verdict) {
	limit, remaining, reset := strconv.Itoa(v.Requests), strconv.Itoa(v.Remaining), strconv.Itoa(seconds(v.Reset))
	policy := `"` + v.Limit + `";q=` + limit + ";w=" + strconv.Itoa(seconds(v.Per))
	values := []string{policy, limit, remaining, reset, limit, remaining, reset}
	for i, name := range limitHeaders { // Set would allocate for each
		h[name] = values[i : i+1 : i+1]
	}
}

// tooMany is the answer to a request that was refused.
func tooMany(ctx context.Context, v ratelimit.Verdict, c class) *problem {
	p := fail(ctx, &models.Error{
		Kind: models.Limited, RetryAfter: v.Wait,
		Message: fmt.Sprintf("Too many requests. Limit: %d per %s", v.Requests, v.Window()),
	})
	if c == classReveal { // the web UI knows it by another name
		p.Code, p.Envelope.Code = "KEY_OPERATION_RATE_LIMITED", "KEY_OPERATION_RATE_LIMITED"
	}
	for _, d := range []*details{&p.Details, &p.Envelope.Details} {
		d.Limit, d.TimeWindow, d.Remaining = v.Requests, v.Window(), max(1, v.Wait.Milliseconds())
		d.Suggestion = fmt.Sprintf("Please wait %d seconds before trying again", d.RetryAfter)
	}
	return p
}

// seconds is d in whole seconds, rounded up: who waits so long has waited long enough.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
