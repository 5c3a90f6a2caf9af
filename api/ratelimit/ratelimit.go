// Package ratelimit counts requests against limits, by GCRA: the requests of a period may come
// at once, and from then on one more is free each fraction of it. So nobody can take twice the
// limit around the end of a window, and one moment is all that has to be kept of anybody.
package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is how many requests are free in which time. The zero value is no limit.
type Rate struct {
	Requests int
	Per      time.Duration
}

// The rates that can be told: at most one request each microsecond, which Redis counts in.
const (
	maxRequests    = 1_000_000
	minPer, maxPer = time.Second, 24 * time.Hour
)

// ParseRate reads a rate such as 300/1m; "off" is no limit.
func ParseRate(text string) (Rate, bool) {
	if text == "off" {
		return Rate{}, true
	}
	count, window, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > maxRequests {
		return Rate{}, false
	}
	per, err := time.ParseDuration(window)
	return Rate{n, per}, err == nil && per >= minPer && per <= maxPer
}

func (r Rate) String() string {
	if r.IsZero() {
		return "off"
	}
	return fmt.Sprintf("%d/%s", r.Requests, r.Window())
}

// IsZero reports whether there is no limit.
func (r Rate) IsZero() bool { return r.Requests == 0 }

// Window is the time, as people write it: 1m, 1h30m.
func (r Rate) Window() string {
	text := r.Per.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// interval is the part of the period that one request uses up.
func (r Rate) interval() time.Duration {
	return (r.Per / time.Duration(r.Requests)).Truncate(time.Microsecond)
}

// Bucket is what requests are counted in: a limit, and whose it is.
type Bucket struct {
	ID
	Rate
}

// ID names a bucket.
type ID struct {
	Limit string // its name, such as user
	Whose string
}

// Counter counts requests. It is safe for concurrent use, and it never fails.
type Counter interface {
	// Take counts one request in each of the buckets, or in none when one of them is full. It
	// returns what the strictest says. No bucket may have the zero Rate.
	Take(ctx context.Context, buckets ...Bucket) Verdict
}

// Verdict is what a bucket says to a request.
type Verdict struct {
	Bucket
	Remaining int           // requests that are free now
	Reset     time.Duration // until all are free again
	Wait      time.Duration // until one is free, if this one was refused; else 0
}

// Refused reports whether the request must not go on.
func (v Verdict) Refused() bool { return v.Wait > 0 }

// plausible is how much of the period is used up. What cannot be comes of a clock that was set
// back, or of a rate that was another one, and counts as nothing.
func (r Rate) plausible(used time.Duration) time.Duration {
	if used < 0 || used > r.Per {
		return 0
	}
	return used
}

// judge returns what the strictest bucket says. used is how much of each period is used up,
// with the request if it was counted.
func judge(buckets []Bucket, used []time.Duration, counted bool) (strictest Verdict) {
	for i, b := range buckets {
		v := Verdict{Bucket: b, Remaining: int((b.Per - used[i]) / b.interval()), Reset: used[i]}
		if !counted {
			v.Wait = max(0, used[i]+b.interval()-b.Per)
		}
		if i == 0 || v.Wait > strictest.Wait || v.Wait == strictest.Wait && v.Remaining < strictest.Remaining {
			strictest = v
		}
	}
	return strictest
}
