package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/models/store/storetest"
)

// logged writes n entries, one transaction each.
func logged(t *testing.T, s *store.Store, n int) {
	t.Helper()
	for i := range n {
		by := models.Actor{ID: "ada", Via: "api", Origin: models.Origin{IP: "192.0.2.1", SessionID: uuid.New()}}
		e := models.Event{
			Action: models.AuditAction(fmt.Sprintf("ACTION_%d", i%3)), ResourceType: models.AuditOfUser, ResourceID: fmt.Sprint(i),
			Detail: map[string]any{"n": i, "price": 1.50, "text": "größer, \"so\"\n"}, After: map[string]any{"b": 1, "a": nil},
		}
		require.NoError(t, s.Audit(t.Context(), by, e))
	}
}

// tamper changes the log as only who owns it can.
func tamper(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, sql := range slices.Concat([]string{"ALTER TABLE audit DISABLE TRIGGER USER"}, statements, []string{"ALTER TABLE audit ENABLE TRIGGER USER"}) {
		_, err := db.Exec(sql)
		require.NoError(t, err)
	}
}

// Nobody changes, deletes or empties the log by mistake, nor writes it past the chain.
func TestAuditIsAppendOnly(t *testing.T) {
	s, db := opened(t)
	logged(t, s, 2)
	var partition string
	require.NoError(t, db.QueryRow("SELECT name FROM audit_partitions WHERE first <= now() AND until > now()").Scan(&partition))
	values := " (actor, via, action, resource_type, resource_id"
	for _, sql := range []string{
		"UPDATE audit SET actor = 'bob'", "DELETE FROM audit", "TRUNCATE audit",
		"UPDATE " + partition + " SET actor = 'bob'", "DELETE FROM " + partition, "TRUNCATE " + partition,
		"TRUNCATE audit_default",
		"INSERT INTO " + partition + values + ") VALUES ('a', 'b', 'c', 'd', 'e')",
		"INSERT INTO audit" + values + ", at) VALUES ('a', 'b', 'c', 'd', 'e', '2020-01-01')",
	} {
		_, err := db.Exec(sql)
		require.ErrorContains(t, err, "audit log", sql)
	}
	_, err := db.Exec("INSERT INTO audit"+values+", id, hash) VALUES ('a', 'b', 'c', 'd', 'e', 1, '')", nil...)
	require.NoError(t, err, "who names an id and a hash gets another")
	report, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, report.Breaks)
	require.Equal(t, 3, report.Rows)
}

// What is audited is written with what it is about, in order, or not at all.
func TestAuditFollowsItsTransaction(t *testing.T) {
	s := storetest.New(t)
	note := func(tx *store.Store, id string) error {
		return tx.Audit(t.Context(), ada, models.Event{Action: "NOTE", ResourceType: "TEST", ResourceID: id})
	}
	broken := models.Errorf(models.Conflict, "no")
	err := s.InTx(t.Context(), func(tx *store.Store) error { return errors.Join(note(tx, "0"), broken) })
	require.ErrorIs(t, err, broken)
	require.NoError(t, s.InTx(t.Context(), func(tx *store.Store) error {
		require.NoError(t, note(tx, "1"))
		err := tx.InTx(t.Context(), func(part *store.Store) error { return errors.Join(note(part, "2"), broken) })
		require.ErrorIs(t, err, broken)
		require.NoError(t, tx.InTx(t.Context(), func(part *store.Store) error { return note(part, "3") }))
		return note(tx, "4")
	}))
	refused(t, models.Internal, s.Audit(t.Context(), ada, models.Event{Action: "NOTE", Detail: map[string]any{"key": models.SecretOf("x")}}))
	rows, n, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, []string{"4", "3", "1"}, []string{rows[0].ResourceID, rows[1].ResourceID, rows[2].ResourceID})
	require.Equal(t, "{}", string(rows[0].Detail))
	require.True(t, rows[0].Success)
}

// What a stranger sends cannot keep a refusal out of the log.
func TestAuditTakesAnyText(t *testing.T) {
	s := storetest.New(t)
	by := models.Nobody(models.Origin{IP: "\x00", UserAgent: strings.Repeat("ü", 400) + "\xff", RequestID: "\xff\x00"})
	require.NoError(t, s.Audit(t.Context(), by, models.Event{Action: models.AuditDenied, ResourceType: models.AuditOfSecurity, ResourceID: "a\x00b", Failure: "no"}))
	rows, _, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "ab", rows[0].ResourceID)
	require.Equal(t, strings.Repeat("ü", 150), rows[0].UserAgent)
	require.False(t, rows[0].Success)
}

// The log is found by every filter of GET /admin/audit, page by page, and exported whole.
func TestAuditLog(t *testing.T) {
	s := storetest.New(t)
	u := signedIn(t, s, "grace")
	logged(t, s, 30)
	require.NoError(t, s.Audit(t.Context(), actor(u), models.Event{Action: models.AuditDenied, ResourceType: models.AuditOfAccess, Failure: "no"}))
	all, total, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 100})
	require.NoError(t, err)
	require.Equal(t, 34, total)
	require.Len(t, all, 34)
	middle := all[10].At
	for _, tc := range []struct {
		name string
		q    store.AuditQuery
		n    int
	}{
		{"all", store.AuditQuery{}, 34},
		{"by actor", store.AuditQuery{Actor: u.ID.String()}, 2},
		{"by action", store.AuditQuery{Action: "ACTION_1"}, 10},
		{"by resource", store.AuditQuery{Resource: models.AuditOfAuth}, 1},
		{"one thing", store.AuditQuery{Resource: models.AuditOfUser, ResourceID: "7"}, 1},
		{"but some resources", store.AuditQuery{But: []models.AuditResource{models.AuditOfAccess, models.AuditOfAuth}}, 32},
		{"but some, and by action", store.AuditQuery{But: []models.AuditResource{models.AuditOfAccess}, Action: models.AuditDenied}, 0},
		{"failed", store.AuditQuery{Failed: true}, 1},
		{"from", store.AuditQuery{From: middle}, 11},
		{"until", store.AuditQuery{Until: middle}, 23},
		{"from until", store.AuditQuery{From: middle, Until: middle}, 0},
		{"search in the action", store.AuditQuery{Search: "action_2"}, 10},
		{"search for the actor", store.AuditQuery{Search: "GRACE@"}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.q.Page, tc.q.Limit = 1, 4
			page, n, err := s.AuditLog(t.Context(), tc.q)
			require.NoError(t, err)
			require.Equal(t, tc.n, n)
			require.Len(t, page, min(4, n))
			var exported []int64
			require.NoError(t, s.ExportAudit(t.Context(), tc.q, func(e models.AuditEntry) error {
				exported = append(exported, e.ID)
				return nil
			}))
			require.Len(t, exported, n)
			require.IsIncreasing(t, append([]int64{0, 1}[:min(n, 1)], append(exported, 1<<40)...))
		})
	}
	stop := errors.New("the reader is gone")
	require.ErrorIs(t, s.ExportAudit(t.Context(), store.AuditQuery{}, func(models.AuditEntry) error { return stop }), stop)
	actions, err := s.AuditActions(t.Context(), models.AuditOfUser, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"ACTION_0", "ACTION_1", "ACTION_2", "ROLE_GRANT", "USER_CREATE"}, actions)
	actions, err = s.AuditActions(t.Context(), "", []models.AuditResource{models.AuditOfUser, models.AuditOfAccess})
	require.NoError(t, err)
	require.Equal(t, []string{"LOGIN"}, actions)
	categories, err := s.AuditCategories(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"API_ACCESS", "AUTH", "USER"}, categories)
}

// Whoever changes, takes out or moves a row is found, and the report says which row it is.
func TestVerifyAudit(t *testing.T) {
	move := func(from, to int) string { return fmt.Sprintf("UPDATE audit SET id = %d WHERE id = %d", to, from) }
	for _, tc := range []struct {
		name   string
		tamper []string
		want   []models.AuditBreak
	}{
		{"as it was written", nil, nil},
		{"a changed detail", []string{"UPDATE audit SET detail = '{}' WHERE id = 4"}, []models.AuditBreak{{ID: 4, Kind: models.AuditChanged}}},
		{"a changed time", []string{"UPDATE audit SET at = at + interval '1 microsecond' WHERE id = 4"}, []models.AuditBreak{{ID: 4, Kind: models.AuditChanged}}},
		{"a value taken out", []string{"UPDATE audit SET after = NULL WHERE id = 4"}, []models.AuditBreak{{ID: 4, Kind: models.AuditChanged}}},
		{"changed with its hash", []string{"UPDATE audit SET hash = sha256('x') WHERE id = 4"}, []models.AuditBreak{{ID: 4, Kind: models.AuditChanged}, {ID: 4, Kind: models.AuditChanged}}},
		{"a deleted row", []string{"DELETE FROM audit WHERE id = 4"}, []models.AuditBreak{{ID: 4, Kind: models.AuditMissing}}},
		{"deleted rows", []string{"DELETE FROM audit WHERE id BETWEEN 4 AND 6"}, []models.AuditBreak{{ID: 4, Kind: models.AuditMissing}}},
		{"the first row deleted", []string{"DELETE FROM audit WHERE id = 1"}, []models.AuditBreak{{ID: 1, Kind: models.AuditMissing}}},
		{"the last row deleted", []string{"DELETE FROM audit WHERE id = 10"}, []models.AuditBreak{{ID: 10, Kind: models.AuditMissing}}},
		{"everything deleted", []string{"DELETE FROM audit"}, []models.AuditBreak{{ID: 1, Kind: models.AuditMissing}}},
		{"two rows that changed places", []string{move(4, 0), move(5, 4), move(0, 5)}, []models.AuditBreak{
			{ID: 4, Kind: models.AuditReordered}, {ID: 5, Kind: models.AuditReordered}, {ID: 6, Kind: models.AuditReordered},
		}},
		{"a deleted row whose place was filled", []string{"DELETE FROM audit WHERE id = 4", move(10, 4)}, []models.AuditBreak{
			{ID: 4, Kind: models.AuditReordered}, {ID: 4, Kind: models.AuditChanged}, {ID: 10, Kind: models.AuditMissing},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, db := opened(t)
			logged(t, s, 10)
			tamper(t, db, tc.tamper...)
			report, err := s.VerifyAudit(t.Context(), models.AuditMark{})
			require.NoError(t, err)
			require.Equal(t, tc.want, placed(report.Breaks), "%v", report.Breaks)
		})
	}
}

// placed is the breaks without their words.
func placed(breaks []models.AuditBreak) []models.AuditBreak {
	for i := range breaks {
		breaks[i].Why = ""
	}
	return breaks
}

// A mark kept elsewhere finds even a log that was written anew as a whole.
func TestVerifyAuditFromAMark(t *testing.T) {
	s, db := opened(t)
	logged(t, s, 5)
	mark, err := s.AuditHead(t.Context())
	require.NoError(t, err)
	logged(t, s, 5)
	report, err := s.VerifyAudit(t.Context(), mark)
	require.NoError(t, err)
	require.Empty(t, report.Breaks)
	require.Equal(t, 6, report.Rows, "the row of the mark and those after it")
	require.EqualValues(t, 10, report.To.ID)

	tamper(t, db, "DELETE FROM audit", "UPDATE audit_head SET id = 0, at = 'epoch', hash = decode(repeat('00', 32), 'hex')")
	logged(t, s, 10)
	report, err = s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, report.Breaks, "it is whole in itself")
	report, err = s.VerifyAudit(t.Context(), mark)
	require.NoError(t, err)
	require.Equal(t, []models.AuditBreak{{ID: 5, Kind: models.AuditChanged}}, placed(report.Breaks))
}

// Retention takes the oldest months, and what is left is verified from there.
func TestAuditRetention(t *testing.T) {
	s, db := opened(t)
	month := func(ago int) time.Time {
		now := time.Now().UTC()
		return time.Date(now.Year(), now.Month()-time.Month(ago), 1, 0, 0, 0, 0, time.UTC)
	}
	var parts string
	require.NoError(t, db.QueryRow("SELECT string_agg(name, ', ') FROM audit_partitions").Scan(&parts))
	_, err := db.Exec("DROP TABLE " + parts)
	require.NoError(t, err)
	for ago := 4; ago > 0; ago-- { // without partitions of their own, they stray into the default
		for i := range 3 {
			_, err := db.Exec("INSERT INTO audit (at, actor, via, action, resource_type, resource_id) VALUES ($1, 'ada', 'test', 'OLD', 'TEST', $2)",
				month(ago).Add(time.Duration(i)*time.Hour), fmt.Sprint(ago))
			require.NoError(t, err)
		}
		if ago == 3 {
			made, err := s.EnsureAuditPartitions(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, 3, made, "the strays of two months got one where they are, and two months have theirs")
			require.Zero(t, counted(t, db, "SELECT count(*) FROM audit_default"))
		}
	}
	logged(t, s, 3)
	made, err := s.EnsureAuditPartitions(t.Context(), 4)
	require.NoError(t, err)
	require.Equal(t, 4, made, "the strays, and three months further ahead")
	made, err = s.EnsureAuditPartitions(t.Context(), 4)
	require.NoError(t, err)
	require.Zero(t, made)
	whole, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, whole.Breaks)
	require.Equal(t, 15, whole.Rows)

	none, err := s.DropAuditBefore(t.Context(), month(3), models.System("Clean"))
	require.NoError(t, err)
	require.Empty(t, none.Partitions, "one partition holds that month too")
	dropped, err := s.DropAuditBefore(t.Context(), month(2), models.System("Clean"))
	require.NoError(t, err)
	require.Len(t, dropped.Partitions, 1)
	require.Equal(t, 6, dropped.Rows)
	require.EqualValues(t, 6, dropped.LastID)
	rest, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, rest.Breaks)
	require.Equal(t, 10, rest.Rows, "and the one that says what went")
	_, err = s.VerifyAudit(t.Context(), models.AuditMark{ID: 3})
	refused(t, models.Invalid, err)
	_, total, err := s.AuditLog(t.Context(), store.AuditQuery{Page: 1, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, 10, total)

	tamper(t, db, "DELETE FROM audit WHERE id = 7")
	cut, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Equal(t, []models.AuditBreak{{ID: 7, Kind: models.AuditMissing}}, placed(cut.Breaks))

	dropped, err = s.DropAuditBefore(t.Context(), month(-1), models.System("Clean"))
	require.NoError(t, err)
	require.Len(t, dropped.Partitions, 2)
	rest, err = s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, rest.Breaks)
}

// Many who write at once make one chain, and one statement makes as long a piece of it as it
// has rows.
func TestAuditChainAtOnce(t *testing.T) {
	s, db := opened(t)
	for _, err := range atOnce(20, func(i int) error {
		if i%2 == 0 {
			return s.Audit(t.Context(), ada, models.Event{Action: "NOTE", ResourceType: "TEST"})
		}
		_, err := db.Exec(`INSERT INTO audit (actor, via, action, resource_type, resource_id, detail)
			SELECT 'system', 'test', 'BULK', 'TEST', n::text, '{}' FROM generate_series(1, 100) n`)
		return err
	}) {
		require.NoError(t, err)
	}
	report, err := s.VerifyAudit(t.Context(), models.AuditMark{})
	require.NoError(t, err)
	require.Empty(t, report.Breaks)
	require.Equal(t, 1010, report.Rows)
	require.Zero(t, counted(t, db, "SELECT count(*) FROM audit a JOIN audit b ON b.id = a.id + 1 WHERE b.at < a.at"), "time never runs back")
}
