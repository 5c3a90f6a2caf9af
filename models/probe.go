package models

import "time"

// Probe is the last look at whether LiteLLM answers: taken every minute by Sweep, so that no
// request has to ask.
type Probe struct {
	Reachable bool
	Latency   time.Duration
	Version   string // LiteLLM's version, where it tells
	Failure   string // why it is not reachable, in words
	CheckedAt time.Time
}

// probeFresh is how long a probe says something: three sweeps.
const probeFresh = 3 * time.Minute

// Fresh reports whether the probe is young enough to be believed.
func (p Probe) Fresh(now time.Time) bool { return now.Sub(p.CheckedAt) < probeFresh }
