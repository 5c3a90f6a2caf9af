package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/litemaas/litemaas/models"
)

// sealedColumns is every column that holds what a models.Sealer sealed, each value to the table
// and the key of its row. A new one needs a line here, or its values are lost when the key goes
// that sealed them; a test compares with the schema.
var sealedColumns = []struct{ table, key, keyType, before, column string }{
	{"signing_keys", "kid", "text", "", "private"},
	{"sessions", "id", "uuid", noUUID, "provider_tokens"},
	{"api_keys", "id", "uuid", noUUID, "sealed"},
	{"operations", "id", "uuid", noUUID, "body"},
}

// noUUID is before all others.
const noUUID = "00000000-0000-0000-0000-000000000000"

// SealedPlaces names the columns that hold sealed values, as table.column.
func SealedPlaces() []string {
	out := make([]string, len(sealedColumns))
	for i, c := range sealedColumns {
		out[i] = c.table + "." + c.column
	}
	return out
}

// SealedPlaces names the places of this store, as the function does.
func (*Store) SealedPlaces() []string { return SealedPlaces() }

// sealedSQL puts the names of a place into SQL: %[1]s is the table, %[2]s its key, %[3]s the
// key's type, %[4]s the column, %[5]s a key before all others. It is NotFound when there is no
// such place.
func sealedSQL(place, sql string) (string, error) {
	for _, c := range sealedColumns {
		if place == c.table+"."+c.column {
			return fmt.Sprintf(sql, c.table, c.key, c.keyType, c.column, c.before), nil
		}
	}
	return "", models.Errorf(models.NotFound, "nothing sealed is kept in %s", place)
}

// SealedValue is one sealed value.
type SealedValue struct {
	Key    string // of its row
	To     []byte // what it is sealed to
	Sealed []byte
}

// ForeignSealed returns values of a place that do not begin with the mark of a key, in the order
// of their rows, from after a row on; an empty one is before the first.
func (s *Store) ForeignSealed(ctx context.Context, place string, mark []byte, after string, limit int) ([]SealedValue, error) {
	sql, err := sealedSQL(place, `
		SELECT %[2]s::text, convert_to('%[1]s/' || %[2]s, 'UTF8'), %[4]s FROM %[1]s
		WHERE %[4]s <> '' AND substr(%[4]s, 1, length($1::bytea)) <> $1 AND %[2]s > coalesce(nullif($2, ''), '%[5]s')::%[3]s
		ORDER BY %[2]s LIMIT $3`)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, sql, mark, after, limit)
	if err != nil {
		return nil, kinded(place, err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SealedValue])
	return values, kinded(place, err)
}

// Reseal replaces sealed values by what they are sealed to anew, but those that changed
// meanwhile, and says how many it replaced. Not for use in a transaction.
func (s *Store) Reseal(ctx context.Context, place string, values []SealedValue, anew [][]byte) (int, error) {
	sql, err := sealedSQL(place, `
		UPDATE %[1]s t SET %[4]s = l.anew
		FROM (SELECT locked.%[2]s, v.anew
		      FROM unnest($1::%[3]s[], $2::bytea[], $3::bytea[]) v(key, sealed, anew)
		      JOIN %[1]s locked ON locked.%[2]s = v.key AND locked.%[4]s = v.sealed
		      ORDER BY locked.%[2]s FOR NO KEY UPDATE OF locked) l
		WHERE t.%[2]s = l.%[2]s`)
	if err != nil {
		return 0, err
	}
	keys, sealed := make([]string, len(values)), make([][]byte, len(values))
	for i, v := range values {
		keys[i], sealed[i] = v.Key, v.Sealed
	}
	done, err := s.pool.Exec(ctx, sql, keys, sealed, anew)
	return int(done.RowsAffected()), kinded(place, err)
}

// SealedCount is how many values of a place begin in one way.
type SealedCount struct {
	Place string
	Head  []byte // the first five bytes: as much as the mark of a key has
	N     int
}

// CountSealed counts what is sealed, by how it begins.
func (s *Store) CountSealed(ctx context.Context) ([]SealedCount, error) {
	var out []SealedCount
	for _, place := range SealedPlaces() {
		sql, err := sealedSQL(place, `
			SELECT $1, substr(%[4]s, 1, 5), count(*) FROM %[1]s WHERE %[4]s <> '' GROUP BY 2 ORDER BY 3 DESC, 2`)
		if err != nil {
			return nil, err
		}
		rows, err := s.pool.Query(ctx, sql, place)
		if err != nil {
			return nil, kinded(place, err)
		}
		if out, err = pgx.AppendRows(out, rows, pgx.RowToStructByPos[SealedCount]); err != nil {
			return nil, kinded(place, err)
		}
	}
	return out, nil
}

// AuditReseal records what a run did, once, however often it is told.
func (s *Store) AuditReseal(ctx context.Context, run string, detail any, failure string, by models.Actor) error {
	return s.InTx(ctx, func(tx *Store) error {
		if err := tx.lock(ctx, "reseal"); err != nil {
			return err
		}
		var told bool
		err := tx.scan(ctx, "audit log", &told, "SELECT EXISTS (SELECT FROM audit WHERE resource_type = ? AND resource_id = ? AND action = ?)",
			models.AuditOfSecurity, run, models.AuditReseal)
		if err != nil || told {
			return err
		}
		return tx.Audit(ctx, by, models.Event{
			Action: models.AuditReseal, ResourceType: models.AuditOfSecurity, ResourceID: run, Detail: detail, Failure: failure,
		})
	})
}
