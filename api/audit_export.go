package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

type exportAuditRequest struct {
	Format string `query:"format" enum:"ndjson,csv" default:"ndjson" doc:"ndjson is a JSON object on each line, with the hashes of the chain."`
	AuditFilter
}

// exportAudit streams the rows of the audit log that a filter selects, the oldest first. That it
// was done is written into the log before the first row is sent.
func (s *Server) exportAudit(ctx context.Context, in *exportAuditRequest) (*rawResponse, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	err = s.Store.Audit(ctx, actor(ctx), models.Event{
		Action: models.AuditExport, ResourceType: models.AuditOfLog,
		Detail: map[string]any{"format": in.Format, "filter": in.AuditFilter},
	})
	if err != nil {
		return nil, err
	}
	return &rawResponse{func(ctx huma.Context) { s.streamAudit(ctx, in.Format, q) }}, nil
}

// stallWithin is how long a reader may take for a portion of an export.
const stallWithin = 30 * time.Second

// streamAudit writes an export. One that breaks off ends without the end that HTTP has, so that
// nobody takes it for whole.
func (s *Server) streamAudit(ctx huma.Context, format string, q store.AuditQuery) {
	c := humagin.Unwrap(ctx)
	kind := map[string]string{"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}[format]
	c.Header("Content-Type", kind)
	c.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="audit-%s.%s"`, time.Now().UTC().Format("20060102-150405"), format))
	if c.Request.Method == http.MethodHead {
		return
	}
	out := bufio.NewWriterSize(patient{c.Writer, http.NewResponseController(c.Writer)}, 64<<10)
	write, flush := auditWriter(out, format)
	err := s.Store.ExportAudit(ctx.Context(), q, write)
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = out.Flush()
	}
	switch {
	case err == nil:
	case !c.Writer.Written():
		c.Writer.Header().Del("Content-Disposition")
		answer(c, fail(ctx.Context(), err))
	default:
		slog.WarnContext(ctx.Context(), "an export of the audit log broke off", "request_id", requestOf(ctx.Context()).id, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// patient writes to a reader who may take his time, as long as he reads.
type patient struct {
	io.Writer
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(stallWithin)) // where there is none, there is no need
	return p.Writer.Write(b)
}

// auditWriter returns what writes a row in that format, and what to call at the end.
func auditWriter(w io.Writer, format string) (write func(models.AuditEntry) error, flush func() error) {
	if format == "csv" {
		out := csv.NewWriter(w)
		_ = out.Write(auditColumns) // it comes back at the next row
		return func(e models.AuditEntry) error { return out.Write(auditRecord(&e)) }, func() error { out.Flush(); return out.Error() }
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return func(e models.AuditEntry) error { return out.Encode(newAuditLine(&e)) }, func() error { return nil }
}

// auditLine is a row as it is exported: all that its hash is made of, and who the actor is.
type auditLine struct {
	ID           int64                `json:"id"`
	At           time.Time            `json:"at"`
	Actor        string               `json:"actor"`
	Username     string               `json:"username,omitempty"`
	Via          string               `json:"via"`
	Action       models.AuditAction   `json:"action"`
	ResourceType models.AuditResource `json:"resourceType"`
	ResourceID   string               `json:"resourceId"`
	Success      bool                 `json:"success"`
	Failure      string               `json:"failure,omitempty"`
	Detail       json.RawMessage      `json:"detail"`
	Before       json.RawMessage      `json:"before,omitempty"`
	After        json.RawMessage      `json:"after,omitempty"`
	IP           string               `json:"ipAddress,omitempty"`
	UserAgent    string               `json:"userAgent,omitempty"`
	RequestID    string               `json:"requestId,omitempty"`
	SessionID    *string              `json:"sessionId,omitempty"`
	PrevHash     string               `json:"prevHash"`
	Hash         string               `json:"hash"`
}

func newAuditLine(e *models.AuditEntry) auditLine {
	return auditLine{
		e.ID, e.At.UTC(), e.Actor, e.Username, e.Via, e.Action, e.ResourceType, e.ResourceID, e.Success, e.Failure, e.Detail, e.Before, e.After,
		e.IP, e.UserAgent, e.RequestID, e.SessionID, hex.EncodeToString(e.PrevHash), hex.EncodeToString(e.Hash),
	}
}

var auditColumns = []string{
	"id", "at", "actor", "username", "email", "via", "action", "resourceType", "resourceId", "success", "failure", "ipAddress", "userAgent",
	"requestId", "sessionId", "detail", "before", "after",
}

func auditRecord(e *models.AuditEntry) []string {
	session := ""
	if e.SessionID != nil {
		session = *e.SessionID
	}
	out := []string{
		auditID(e.ID), e.At.UTC().Format(time.RFC3339Nano), e.Actor, e.Username, e.Email, e.Via, string(e.Action), string(e.ResourceType), e.ResourceID,
		strconv.FormatBool(e.Success), e.Failure, e.IP, e.UserAgent, e.RequestID, session, string(e.Detail), string(e.Before), string(e.After),
	}
	for i, cell := range out {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) { // a spreadsheet would run it, and strangers write some of this
			out[i] = "'" + cell
		}
	}
	return out
}
