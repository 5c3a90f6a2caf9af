package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/litemaas/litemaas/models"
)

const (
	streamEvery  = time.Second      // what changed is told
	streamAlive  = 15 * time.Second // something is sent at least, or a proxy takes it for dead
	streamsEach  = 4                // of a caller
	streamsInAll = 100              // of this process

	// streamLasts is how long a stream lasts: who opens the next one is asked again who he is.
	streamLasts = 10 * time.Minute
)

// streams counts the streams that are open, and ends them.
type streams struct {
	ended chan struct{}
	end   func()

	mu   sync.Mutex
	open map[string]int // by caller
	all  int
}

func newStreams() streams {
	ended := make(chan struct{})
	return streams{ended: ended, end: sync.OnceFunc(func() { close(ended) }), open: map[string]int{}}
}

// enter lets a caller have one more. It is Limited when he, or all, have too many.
func (s *streams) enter(caller string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[caller] >= streamsEach || s.all >= streamsInAll {
		return &models.Error{
			Kind: models.Limited, RetryAfter: streamAlive,
			Message: fmt.Sprintf("Too many streams: %d for each, and %d for all, are open at most. Close one", streamsEach, streamsInAll),
		}
	}
	s.open[caller]++
	s.all++
	return nil
}

func (s *streams) leave(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.open[caller]--; s.open[caller] == 0 {
		delete(s.open, caller)
	}
}

// EndStreams ends the answers that would go on for long, now and later: the server is to shut down.
func (s *Server) EndStreams() { s.usage.streams.end() }

// streamUsageRealtime tells of the usage of the last minutes, at first and whenever it changes.
func (s *Server) streamUsageRealtime(ctx context.Context, in *usageRealtimeRequest) (*rawResponse, error) {
	if err := in.confine(requestOf(ctx).caller); err != nil {
		return nil, err
	}
	first, err := s.usage.realtime(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := s.usage.streams.enter(requestOf(ctx).caller.id); err != nil {
		return nil, err
	}
	return &rawResponse{func(ctx huma.Context) {
		defer s.usage.streams.leave(requestOf(ctx.Context()).caller.id)
		s.usage.stream(ctx, in, first)
	}}, nil
}

// stream sends what changes until the caller goes, the stream has lasted long enough, or the server is
// to shut down. While the database is away nothing changes.
func (u *usage) stream(hctx huma.Context, in *usageRealtimeRequest, now usageRealtimeBody) {
	c, ctx := humagin.Unwrap(hctx), hctx.Context()
	c.Header("Content-Type", "text/event-stream")
	c.Header("X-Accel-Buffering", "no") // nginx would keep it to itself
	if c.Request.Method == http.MethodHead {
		return
	}
	out := eventWriter{to: patient{c.Writer, http.NewResponseController(c.Writer)}}
	end, tick := time.NewTimer(streamLasts), time.NewTicker(streamEvery)
	defer end.Stop()
	defer tick.Stop()
	for out.send(now) == nil {
		select {
		case <-ctx.Done():
			return
		case <-u.streams.ended:
			return
		case <-end.C:
			return
		case <-tick.C:
		}
		if next, err := u.realtime(ctx, in); err == nil {
			now = next
		}
	}
}

// eventWriter writes server-sent events.
type eventWriter struct {
	to   patient
	last []byte    // what was sent, without the time
	sent time.Time // when something was
}

// send sends what is so now, if it was not so before; else, once in a while, a sign of life.
func (w *eventWriter) send(now usageRealtimeBody) error {
	untimed := now
	untimed.At, untimed.Since = time.Time{}, time.Time{}
	what, err := json.Marshal(untimed)
	if err != nil {
		return err
	}
	switch {
	case !bytes.Equal(what, w.last):
		w.last = what
		data, err := json.Marshal(now)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w.to, "event: usage\ndata: %s\n\n", data)
		if err != nil {
			return err
		}
	case time.Since(w.sent) >= streamAlive:
		if _, err := fmt.Fprint(w.to, ":\n\n"); err != nil {
			return err
		}
	default:
		return nil
	}
	w.sent = time.Now()
	return w.to.control.Flush()
}
