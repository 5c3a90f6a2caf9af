package activities

import (
	"bytes"
	"context"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

// SealedValues seals anew what other keys of the keyset sealed than the one that seals now.
type SealedValues struct {
	Store SealedKeeper
	Keys  models.Keyring
}

// SealedKeeper keeps what is sealed: the store, alone or with sessions in Redis.
type SealedKeeper interface {
	SealedPlaces() []string
	CountSealed(ctx context.Context) ([]store.SealedCount, error)
	ForeignSealed(ctx context.Context, place string, mark []byte, after string, limit int) ([]store.SealedValue, error)
	Reseal(ctx context.Context, place string, values []store.SealedValue, anew [][]byte) (int, error)
	AuditReseal(ctx context.Context, run string, detail any, failure string, by models.Actor) error
}

// CountSealedInput names the key that shall seal everything.
type CountSealedInput struct{ Key string }

// CountSealedResult is how much there is, by place.
type CountSealedResult struct{ Places []SealedPlace }

// SealedPlace is how many values a place holds, and how many of them another key sealed.
type SealedPlace struct {
	Place          string
	Total, Foreign int
}

// CountSealed counts what is sealed. It is Conflict when the key is not the one that seals on
// this worker.
func (a *SealedValues) CountSealed(ctx context.Context, in CountSealedInput) (CountSealedResult, error) {
	defer beat(ctx)()
	mark, err := a.mark(in.Key)
	if err != nil {
		return CountSealedResult{}, err
	}
	counts, err := a.Store.CountSealed(ctx)
	if err != nil {
		return CountSealedResult{}, err
	}
	var res CountSealedResult
	for _, place := range a.Store.SealedPlaces() {
		p := SealedPlace{Place: place}
		for _, c := range counts {
			if c.Place != place {
				continue
			}
			p.Total += c.N
			if !bytes.Equal(c.Head, mark) {
				p.Foreign += c.N
			}
		}
		res.Places = append(res.Places, p)
	}
	return res, nil
}

// mark is how everything begins that the key seals, which must be the one that seals here.
func (a *SealedValues) mark(key string) ([]byte, error) {
	keys := a.Keys.Keys()
	switch {
	case len(keys) == 0:
		return nil, models.Errorf(models.Conflict, "the worker has no keyset: give secrets.keyset to all replicas, and restart them")
	case keys[0].Name != key:
		return nil, models.Errorf(models.Conflict, "the worker seals by key %s, not by %s: give all replicas the same keyset, and restart them", keys[0].Name, key)
	case len(keys[0].Mark) == 0:
		return nil, models.Errorf(models.Conflict, "what key %s seals cannot be told from what others seal: Tink calls its output RAW", key)
	}
	return keys[0].Mark, nil
}

// ResealPageInput selects values: those of a place that another key sealed, from after a row on.
type ResealPageInput struct {
	Key   string // that shall seal them
	Place string
	After string // empty: from the first
	Limit int
}

// ResealPageResult says what became of them.
type ResealPageResult struct {
	Last     string // the last row
	More     bool   // there may be others after it
	Resealed int
	Changed  int      // by somebody else meanwhile
	Lost     int      // no key of the keyset opens them; they stay as they are
	Rows     []string // whose value is lost: the first of them
}

// mostLost is how many rows a page names whose value is lost.
const mostLost = 10

// ResealPage seals values anew. It is Conflict as CountSealed is. Repeating it is always safe: a
// value that is sealed by the key, or that somebody changed, is left alone.
func (a *SealedValues) ResealPage(ctx context.Context, in ResealPageInput) (ResealPageResult, error) {
	defer beat(ctx)()
	mark, err := a.mark(in.Key)
	if err != nil {
		return ResealPageResult{}, err
	}
	page, err := a.Store.ForeignSealed(ctx, in.Place, mark, in.After, in.Limit)
	if err != nil || len(page) == 0 {
		return ResealPageResult{}, err
	}
	res := ResealPageResult{Last: page[len(page)-1].Key, More: len(page) == in.Limit}
	values, anew := make([]store.SealedValue, 0, len(page)), make([][]byte, 0, len(page))
	for _, v := range page {
		plain, err := a.Keys.Open(v.Sealed, v.To)
		if err != nil {
			if res.Lost++; res.Lost <= mostLost {
				res.Rows = append(res.Rows, v.Key)
			}
			continue
		}
		sealed, err := a.Keys.Seal(plain, v.To)
		if err != nil {
			return res, models.Wrap(models.Internal, err, "%s of %s", in.Place, v.Key)
		}
		values, anew = append(values, v), append(anew, sealed)
	}
	res.Resealed, err = a.Store.Reseal(ctx, in.Place, values, anew)
	res.Changed = len(values) - res.Resealed
	return res, err
}

// ResealedPlace is what became of the values of one place.
type ResealedPlace struct {
	Place    string   `json:"place"`
	Total    int      `json:"total"`
	Resealed int      `json:"resealed"`
	Left     int      `json:"left"`           // sealed by another key at the end, the lost ones among them
	Lost     int      `json:"lost"`           // no key of the keyset opens them; they stay as they are
	Rows     []string `json:"rows,omitempty"` // whose value is lost: the first of them
}

// AuditResealInput is what a run did.
type AuditResealInput struct {
	Run     string
	Actor   models.Actor
	Key     string // by which it sealed
	Places  []ResealedPlace
	Failure string // in words; empty: it came to its end
}

// AuditReseal records in the audit log what a run did.
func (a *SealedValues) AuditReseal(ctx context.Context, in AuditResealInput) error {
	return a.Store.AuditReseal(ctx, in.Run, map[string]any{"key": in.Key, "places": in.Places}, in.Failure, in.Actor)
}
