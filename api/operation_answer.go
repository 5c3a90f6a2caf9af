package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/models"
)

// watched tells when the answer is going to be 202, while headers can still be set.
type watched struct {
	gin.ResponseWriter
	accepted func()
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	if status == http.StatusAccepted && w.Status() != status {
		w.accepted()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets deadlines through to the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// recorder keeps an answer instead of sending it.
type recorder struct {
	gin.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder(under gin.ResponseWriter) *recorder {
	return &recorder{ResponseWriter: under, header: http.Header{}, status: http.StatusOK}
}

// Unwrap lets deadlines through to the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Header implements http.ResponseWriter; it holds only what was set from now on.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// WriteHeaderNow implements gin.ResponseWriter.
func (r *recorder) WriteHeaderNow() {}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// WriteString implements gin.ResponseWriter.
func (r *recorder) WriteString(s string) (int, error) { return r.body.WriteString(s) }

// Flush implements http.Flusher.
func (r *recorder) Flush() {}

// Status implements gin.ResponseWriter.
func (r *recorder) Status() int { return r.status }

// Size implements gin.ResponseWriter.
func (r *recorder) Size() int { return r.body.Len() }

// Written implements gin.ResponseWriter: nothing is sent yet.
func (r *recorder) Written() bool { return false }

// send sends the answer.
func (r *recorder) send(to gin.ResponseWriter) {
	maps.Copy(to.Header(), r.header)
	to.WriteHeader(r.status)
	to.WriteHeaderNow()
	_, _ = to.Write(r.body.Bytes()) // who hung up does not read it
}

// maxKept is how large an answer is kept, in bytes.
const maxKept = 256 << 10

// kept is an answer as it is kept: sealed, as it may hold a secret, and only where a key lets
// the caller ask for it again.
func (op *operation) kept(ctx context.Context, rec *recorder) models.OperationAnswer {
	if op.unanswered {
		return models.OperationAnswer{}
	}
	a := models.OperationAnswer{Status: rec.status, Headers: rec.header}
	if rec.status >= http.StatusBadRequest {
		var p struct{ Code, Message string }
		if json.Unmarshal(rec.body.Bytes(), &p) == nil {
			a.Code, a.Failure = p.Code, p.Message
		}
	}
	if op.key == "" || rec.body.Len() > maxKept {
		return a
	}
	sealed, err := op.sealer.Seal(rec.body.Bytes(), op.seal(*op.row))
	if err != nil {
		slog.ErrorContext(ctx, "the answer of an operation is not kept", "operation_id", op.row.ID, "error", err)
		return a
	}
	a.Body = sealed
	return a
}

// recall is the answer that the operation was given. It is Conflict when that is not kept.
func (op *operation) recall(row models.Operation) (*recorder, error) {
	if row.Body == nil {
		return nil, models.Errorf(models.Conflict, "this was carried out and answered %d, but the answer was too large to be kept, or nothing is configured to seal it with: GET %s shows what became of it",
			row.Status, operationPath(row.ID))
	}
	body, err := op.sealer.Open(row.Body, op.seal(row))
	if err != nil {
		return nil, models.Wrap(models.Conflict, err, "this was carried out and answered %d, but the answer was sealed by a key that is gone: GET %s shows what became of it",
			row.Status, operationPath(row.ID))
	}
	rec := &recorder{header: http.Header{}, status: row.Status}
	maps.Copy(rec.header, row.Headers)
	rec.header.Set(replayedHeader, "true")
	rec.body.Write(body)
	return rec, nil
}

// seal is what the answer of an operation is sealed to.
func (operations) seal(row models.Operation) []byte { return []byte("operations/" + row.ID.String()) }
