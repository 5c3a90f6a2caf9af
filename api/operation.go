package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

const (
	// claimFor is how long a request has an operation to itself; who finds it unanswered after
	// that takes it over.
	claimFor = time.Minute

	// handleWithin ends a handler before its claim does, with time to record the answer. It waits
	// at most patience for a workflow, so that it is done long before.
	handleWithin = 50 * time.Second

	// recordWithin is how long recording an answer may hold it up.
	recordWithin = 5 * time.Second
)

// operations makes operations of mutations: of those that their caller names by an idempotency
// key, those he does not want to wait for, and those that are answered 202. Any other costs
// nothing more than before.
type operations struct {
	store  *store.Store
	sealer models.Sealer // nil: nobody is known, so there is no operation
}

// operation is a request that is one from its beginning.
type operation struct {
	operations
	caller, request string
	key             string // empty: none was given
	prefer          preference
	repeatable      bool
	hash            hash.Hash // of the request, as far as it was read

	row        *models.Operation // once it is this request's to carry out
	recalled   *recorder         // what was answered before, to be answered again
	unanswered bool              // the answer says nothing of how the operation went
}

// carry is before the handler of a mutation, and sees to its answer.
func (o operations) carry(repeatable bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx := c.Request.Context()
		r := requestOf(ctx)
		r.deed = &models.Deed{}
		key, err := idempotencyKey(c.Request.Header)
		if err != nil {
			answer(c, fail(ctx, err))
			return
		}
		prefer := newPreference(c.Request.Header)
		if key == "" && !prefer.async {
			c.Writer = &watched{c.Writer, func() { o.accept(c) }}
			return
		}
		op := &operation{
			operations: o, caller: r.caller.id, request: r.method + " " + r.path,
			key: key, prefer: prefer, repeatable: repeatable, hash: sha256.New(),
		}
		r.operation = op
		_, _ = io.WriteString(op.hash, r.method+" "+c.Request.URL.EscapedPath()+"?"+c.Request.URL.RawQuery+"\n") // a hash takes everything
		body := c.Request.Body
		c.Request.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(body, op.hash), body}
		op.run(c)
	}
}

// run calls the handler, and records what it answers before sending it.
func (op *operation) run(c *gin.Context) {
	ctx := context.WithoutCancel(c.Request.Context())
	under, rec := c.Writer, newRecorder(c.Writer)
	c.Writer = rec
	panics := true
	defer func() {
		c.Writer = under
		if panics {
			op.settle(ctx, &recorder{status: http.StatusInternalServerError, header: http.Header{}})
		}
	}()
	c.Next()
	panics = false
	if op.recalled != nil {
		rec = op.recalled
	}
	op.settle(ctx, rec)
	rec.send(under)
}

// perform calls a handler. That of an operation is called once, also if the request comes
// several times, and also if the caller hangs up; who comes later is answered the same. If
// somebody died after he had carried it out, and before he could answer, replay makes the answer
// anew of the subject.
func perform[Out any](ctx context.Context, fn func(context.Context) (*Out, error), replay func(context.Context, string) (*Out, error)) (*Out, error) {
	op := requestOf(ctx).operation
	if op == nil {
		return fn(ctx)
	}
	if err := op.claim(ctx); err != nil || op.recalled != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleWithin)
	defer cancel()
	switch {
	case op.row.AppliedAt == nil:
		return fn(ctx)
	case replay != nil && len(op.row.Subjects) > 0:
		return replay(ctx, op.row.Subjects[0].ID)
	case op.repeatable:
		return fn(ctx)
	}
	op.unanswered = true
	return nil, models.Errorf(models.Conflict, "this was carried out, at least in part, but its answer was lost: GET %s shows what became of it", operationPath(op.row.ID))
}

// claim makes the operation this request's to carry out, or waits for who carries it out and
// recalls his answer. It is Conflict when the key means another request, and when the wait was
// in vain.
func (op *operation) claim(ctx context.Context) error {
	want := models.Operation{ID: uuid.New(), Actor: op.caller, Request: op.request, RequestHash: op.hash.Sum(nil)}
	if op.key != "" {
		want.IdempotencyKey = &op.key
	}
	giveUp := time.Now().Add(op.prefer.patience(patience, hopeless))
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		row, mine, err := op.store.ClaimOperation(ctx, want, claimFor)
		switch {
		case err != nil:
			return err
		case mine:
			op.row = &row
			deed := requestOf(ctx).deed
			deed.Operation, deed.Attempt = row.ID, row.Attempt
			for _, done := range row.Subjects { // by who worked on it before
				deed.Note(row.SubjectType, done.ID)
			}
			deed.News()
			return nil
		case !bytes.Equal(row.RequestHash, want.RequestHash):
			return models.Errorf(models.Conflict, "the key was used for another request, %s", row.Request).On(idempotencyHeader)
		case row.AnsweredAt != nil:
			op.recalled, err = op.recall(row)
			return err
		case time.Now().Add(pause).After(giveUp):
			return op.busy(ctx, row)
		}
		select {
		case <-ctx.Done():
			return models.Wrap(models.Unavailable, ctx.Err(), "the caller hung up")
		case <-time.After(pause):
		}
	}
}

// busy is the answer to who has waited in vain for somebody else to carry the operation out.
func (op *operation) busy(ctx context.Context, row models.Operation) error {
	p := fail(ctx, models.Errorf(models.Conflict, "%s: the same request is still being carried out: GET %s shows how it ends", idempotencyHeader, operationPath(row.ID)))
	p.after(hopeless)
	return p
}

// settle records how the operation went, if it was this request's to carry out.
func (op *operation) settle(ctx context.Context, rec *recorder) {
	if op.row == nil {
		return
	}
	if rec.status == http.StatusAccepted {
		op.accepted(rec.header)
	}
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	deed, a := requestOf(ctx).deed, op.kept(ctx, rec)
	var err error
	switch {
	case op.unanswered, rec.status >= http.StatusInternalServerError, rec.status == http.StatusTooManyRequests:
		err = op.store.ReleaseOperation(ctx, deed, a)
	default:
		if what, _ := deed.Subjects(); what != "" && rec.status < http.StatusBadRequest { // also if it was so already
			err = op.store.StampOperation(ctx, deed)
		}
		err = errors.Join(err, op.store.AnswerOperation(ctx, deed, a))
	}
	if err != nil {
		slog.ErrorContext(ctx, "the answer of an operation is not kept", "operation_id", op.row.ID, "error", err)
	}
}

// accepted says where one sees how an operation ends that goes on. Whoever does not want to wait
// is shown the operation itself; others, if the handler knows something nearer, that.
func (op *operation) accepted(h http.Header) {
	if op.prefer.async {
		h.Set("Preference-Applied", respondAsync)
		h.Set("Location", operationPath(op.row.ID))
	} else if h.Get("Location") == "" {
		h.Set("Location", operationPath(op.row.ID))
	}
}

// accept makes an operation of a request that was answered 202, and says where it is.
func (o operations) accept(c *gin.Context) {
	ctx := c.Request.Context()
	r, id := requestOf(ctx), uuid.New()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	err := o.store.AcceptOperation(ctx, models.Operation{
		ID: id, Actor: r.caller.id, Request: r.method + " " + r.path, OperationAnswer: models.OperationAnswer{Status: http.StatusAccepted},
	}, r.deed)
	switch {
	case err != nil: // it goes on all the same
		slog.ErrorContext(ctx, "what goes on is not listed as an operation", "request_id", r.id, "error", err)
	case c.Writer.Header().Get("Location") == "":
		c.Header("Location", operationPath(id))
	}
}

// about says what a mutation is about, where that is known before: what goes on afterwards is
// seen by it. Else it is the first thing that the mutation changes, by the audit log.
func about(ctx context.Context, what models.AuditResource, id string) {
	if deed := requestOf(ctx).deed; deed != nil {
		deed.Note(what, id)
	}
}

// did is about, after something was done that is in no transaction of its own: a workflow was
// started.
func (s *Server) did(ctx context.Context, what models.AuditResource, id string) {
	about(ctx, what, id)
	deed := requestOf(ctx).deed
	if err := s.Store.StampOperation(ctx, deed); err != nil {
		slog.ErrorContext(ctx, "an operation does not say what it did", "operation_id", deed.Operation, "error", err)
	}
}
