package redissessions

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/litemaas/litemaas/models/store"
)

// sealedPlace is where the sealed tokens of the identity provider are, beside those in Postgres.
const sealedPlace = "redis.provider_tokens"

const (
	scanAtOnce   = 1000 // keys that Redis looks at in one call
	resealAtOnce = 100  // tokens, of some kilobytes each, in one script
	headBytes    = 5    // as much as the mark of a key has
)

// SealedPlaces names the places of the store, and the one here.
func (s *Sessions) SealedPlaces() []string { return append(s.Store.SealedPlaces(), sealedPlace) }

// CountSealed counts what is sealed, by how it begins.
func (s *Sessions) CountSealed(ctx context.Context) ([]store.SealedCount, error) {
	counts, err := s.Store.CountSealed(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	n := map[string]int{}
	for chunk := range slices.Chunk(rows, touchAtOnce) {
		begin, err := s.heads(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, head := range begin {
			if head != "" {
				n[head]++
			}
		}
	}
	for head, n := range n {
		counts = append(counts, store.SealedCount{Place: sealedPlace, Head: []byte(head), N: n})
	}
	return counts, nil
}

// rows are the keys of all sessions, live or ended, in their order. One that begins meanwhile may
// be missing.
func (s *Sessions) rows(ctx context.Context) ([]string, error) {
	var rows []string
	for cursor := uint64(0); ; {
		bound, cancel := bounded(ctx)
		page, next, err := s.client.Scan(bound, cursor, sessionPrefix+"*", scanAtOnce).Result()
		cancel()
		if err != nil {
			return nil, away(err)
		}
		rows = append(rows, page...)
		if cursor = next; cursor == 0 {
			slices.Sort(rows)
			return slices.Compact(rows), ctx.Err()
		}
	}
}

// heads is how the tokens of sessions begin, empty where there are none.
func (s *Sessions) heads(ctx context.Context, rows []string) ([]string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	out, err := heads.Run(ctx, s.client, rows, headBytes).StringSlice()
	if err != nil {
		return nil, away(err)
	}
	return out, nil
}

// ForeignSealed returns values of a place that do not begin with the mark of a key, in the order
// of their rows, from after a row on; an empty one is before the first.
func (s *Sessions) ForeignSealed(ctx context.Context, place string, mark []byte, after string, limit int) ([]store.SealedValue, error) {
	if place != sealedPlace {
		return s.Store.ForeignSealed(ctx, place, mark, after, limit)
	}
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	first, _ := slices.BinarySearch(rows, sessionPrefix+after+"\x00")
	var out []store.SealedValue
	for chunk := range slices.Chunk(rows[first:], touchAtOnce) {
		begin, err := s.heads(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for i, head := range begin {
			if head == "" || strings.HasPrefix(head, string(mark)) {
				continue
			}
			sealed, err := s.tokens(ctx, chunk[i])
			if err != nil {
				return nil, err
			}
			if len(sealed) == 0 || bytes.HasPrefix(sealed, mark) {
				continue // it has changed, or gone
			}
			id := strings.TrimPrefix(chunk[i], sessionPrefix)
			if out = append(out, store.SealedValue{Key: id, To: []byte("sessions/" + id), Sealed: sealed}); len(out) == limit {
				return out, nil
			}
		}
	}
	return out, nil
}

// tokens are those of one session; none when it has gone.
func (s *Sessions) tokens(ctx context.Context, row string) ([]byte, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	sealed, err := s.client.HGet(ctx, row, "provider_tokens").Bytes()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, away(err)
	}
	return sealed, nil
}

// Reseal replaces sealed values by what they are sealed to anew, but those that changed
// meanwhile, and says how many it replaced. Not for use in a transaction.
func (s *Sessions) Reseal(ctx context.Context, place string, values []store.SealedValue, anew [][]byte) (int, error) {
	if place != sealedPlace {
		return s.Store.Reseal(ctx, place, values, anew)
	}
	all := 0
	for at := 0; at < len(values); at += resealAtOnce {
		var rows []string
		var pairs []any
		for i := at; i < min(at+resealAtOnce, len(values)); i++ {
			rows, pairs = append(rows, sessionPrefix+values[i].Key), append(pairs, values[i].Sealed, anew[i])
		}
		bound, cancel := bounded(ctx)
		n, err := reseal.Run(bound, s.client, rows, pairs...).Int()
		cancel()
		if err != nil {
			return all, away(err)
		}
		all += n
	}
	return all, nil
}
