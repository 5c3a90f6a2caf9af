package main

import (
	"fmt"
	"time"

	"github.com/litemaas/litemaas/activities/litellm/litellmtest"
)

// meter has the LiteLLM that is brought along tell us of calls, and its log read often: it writes
// each call down at once.
func (s *stack) meter() (litellmtest.Push, error) {
	if s.brings("usage.collect_every") {
		s.cfg.Usage.CollectEvery = 10 * time.Second
	}
	if s.brings("usage.collect_lag") {
		s.cfg.Usage.CollectLag = 0
	}
	if s.brings("usage.push_secret") {
		secret, err := s.dir.Secret("usage-secret", "")
		if err != nil {
			return litellmtest.Push{}, err
		}
		s.cfg.Usage.PushSecret = secret
	}
	return litellmtest.Push{
		Endpoint: fmt.Sprintf("http://127.0.0.1:%d/api/v1/usage/events", s.ports.api),
		Headers:  map[string]string{"x-litemaas-usage": s.cfg.Usage.PushSecret.Reveal()},
		Every:    time.Second,
	}, nil
}
