package activities

import (
	"context"
	"errors"
	"time"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// Probes looks whether what we depend on answers, so that no request has to.
type Probes struct {
	Store *store.Store
	Proxy *litellm.Client
}

// ProbeLiteLLMInput is empty.
type ProbeLiteLLMInput struct{}

// ProbeLiteLLMResult says whether LiteLLM answered.
type ProbeLiteLLMResult struct{ Reachable bool }

// probeWithin is how long LiteLLM may take to say that it is well.
const probeWithin = 5 * time.Second

// ProbeLiteLLM asks LiteLLM how it is and records the answer; that there is none is an answer
// too, not a failure.
func (a *Probes) ProbeLiteLLM(ctx context.Context, _ ProbeLiteLLMInput) (ProbeLiteLLMResult, error) {
	p := models.Probe{CheckedAt: time.Now()}
	asking, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	health, err := a.Proxy.Health(asking)
	p.Latency, p.Version, p.Reachable = time.Since(p.CheckedAt), health.Version, err == nil
	if err != nil {
		p.Failure = "LiteLLM does not answer"
		if e, ok := errors.AsType[*models.Error](err); ok {
			p.Failure = e.Message
		}
	}
	return ProbeLiteLLMResult{p.Reachable}, a.Store.RecordProbe(ctx, p)
}
