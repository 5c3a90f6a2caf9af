package store

import (
	"context"
	"strings"
	"time"

	"github.com/litemaas/litemaas/models"
)

// AuditQuery selects rows of the audit log. Zero fields select all.
type AuditQuery struct {
	Page, Limit int    // both from 1
	Actor       string // a user's id, an admin key's name, system, anonymous
	Action      models.AuditAction
	Resource    models.AuditResource
	ResourceID  string
	But         []models.AuditResource // none of these resources
	Failed      bool                   // refusals and failures only
	From, Until time.Time              // from then on; before then
	Search      string                 // anywhere in action, resource, or the actor's name or e-mail address, in any letter case
}

// where is the condition, with its named arguments.
func (q AuditQuery) where() (string, map[string]any) {
	conds, args := []string{"true"}, map[string]any{}
	add := func(use bool, cond, name string, value any) {
		if use {
			conds, args[name] = append(conds, cond), value
		}
	}
	add(q.Actor != "", "a.actor = @actor", "actor", q.Actor)
	add(q.Action != "", "a.action = @action", "action", q.Action)
	add(q.Resource != "", "a.resource_type = @resource", "resource", q.Resource)
	add(q.ResourceID != "", "a.resource_id = @resource_id", "resource_id", q.ResourceID)
	add(len(q.But) > 0, "a.resource_type NOT IN @but", "but", q.But)
	add(!q.From.IsZero(), "a.at >= @from", "from", q.From)
	add(!q.Until.IsZero(), "a.at < @until", "until", q.Until)
	add(q.Failed, "a.success = @success", "success", false)
	add(q.Search != "", `(a.action ILIKE @search OR a.resource_type ILIKE @search OR a.resource_id ILIKE @search
		OR a.actor IN (SELECT id::text FROM users WHERE username ILIKE @search OR email ILIKE @search))`, "search", like(q.Search))
	return strings.Join(conds, " AND "), args
}

// entrySQL reads rows of the audit log, the alias a of them, with their actors.
const entrySQL = `
	SELECT a.*, coalesce(u.username, '') AS username, coalesce(u.email, '') AS email
	FROM (SELECT * FROM audit a WHERE %where%) a
	LEFT JOIN users u ON u.id = CASE WHEN a.actor ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN a.actor::uuid END
	ORDER BY a.id`

// AuditLog returns a page of the audit log, the newest first, and how many rows there are on
// all pages.
func (s *Store) AuditLog(ctx context.Context, q AuditQuery) (page []models.AuditEntry, total int, err error) {
	if total, err = s.countAudit(ctx, q); err != nil {
		return nil, 0, err
	}
	where, args := q.where()
	args["limit"], args["offset"] = q.Limit, (q.Page-1)*q.Limit
	page = []models.AuditEntry{}
	sql := strings.Replace(entrySQL, "%where%", where+" ORDER BY a.id DESC LIMIT @limit OFFSET @offset", 1) + " DESC"
	return page, total, s.scan(ctx, "audit log", &page, sql, args)
}

// countAudit counts the rows that a query selects. The log has no gaps, so that all of it, as
// the web UI asks for, needs no counting.
func (s *Store) countAudit(ctx context.Context, q AuditQuery) (int, error) {
	q.Page, q.Limit = 0, 0
	where, args := q.where()
	sql := "SELECT count(*) FROM audit a WHERE " + where
	if but := q.But; len(args) == 0 || len(args) == 1 && len(but) > 0 {
		sql = "SELECT coalesce((SELECT id FROM audit ORDER BY id DESC LIMIT 1) - (SELECT id FROM audit ORDER BY id LIMIT 1) + 1, 0)"
		if len(but) > 0 {
			sql += " - (SELECT count(*) FROM audit WHERE resource_type IN @but)"
		}
	}
	var n int
	return n, s.scan(ctx, "audit log", &n, sql, args)
}

// exportAtOnce is how many rows of an export are read at once.
const exportAtOnce = 1000

// ExportAudit hands over the rows that a query selects, whatever its page, in the order they
// were written, until each returns an error. It reads them in portions, so that a slow reader
// holds nothing up, and stops at what was the newest row when it began.
func (s *Store) ExportAudit(ctx context.Context, q AuditQuery, each func(models.AuditEntry) error) error {
	where, args := q.where()
	head, err := s.AuditHead(ctx)
	if err != nil {
		return err
	}
	args["after"], args["head"], args["limit"] = int64(0), head.ID, exportAtOnce
	sql := strings.Replace(entrySQL, "%where%", where+" AND a.id > @after AND a.id <= @head ORDER BY a.id LIMIT @limit", 1)
	for {
		var rows []models.AuditEntry
		if err := s.scan(ctx, "audit log", &rows, sql, args); err != nil {
			return err
		}
		for _, row := range rows {
			if err := each(row); err != nil {
				return err
			}
			args["after"] = row.ID
		}
		if len(rows) < exportAtOnce {
			return nil
		}
	}
}

// AuditActions returns what was ever done, by name: to that kind of thing ("": any), and not to
// those.
func (s *Store) AuditActions(ctx context.Context, to models.AuditResource, but []models.AuditResource) ([]string, error) {
	actions := []string{}
	err := s.scan(ctx, "audit log", &actions, `
		SELECT DISTINCT action FROM audit_kinds
		WHERE (@to = '' OR resource_type = @to) AND (NOT @some OR resource_type NOT IN @but) ORDER BY action`,
		map[string]any{"to": to, "some": len(but) > 0, "but": append([]models.AuditResource{""}, but...)})
	return actions, err
}

// AuditCategories returns the kinds of thing that something was ever done to, by name.
func (s *Store) AuditCategories(ctx context.Context) ([]string, error) {
	categories := []string{}
	err := s.scan(ctx, "audit log", &categories, "SELECT DISTINCT resource_type FROM audit_kinds ORDER BY 1")
	return categories, err
}
