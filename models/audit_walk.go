package models

import (
	"bytes"
	"fmt"
	"time"
)

// maxBreaks is how many breaks a report names.
const maxBreaks = 20

// AuditWalk looks at the rows of the audit log one after the other. Its zero value is not
// useful: see NewAuditWalk.
type AuditWalk struct {
	Report AuditReport
	last   AuditMark
	mark   *AuditMark // that the first row has to be
	find   func(hash []byte) (id int64, err error)
}

// NewAuditWalk begins a walk after the given mark; find says which row has a hash, 0 for none.
func NewAuditWalk(after AuditMark, find func(hash []byte) (int64, error)) *AuditWalk {
	return &AuditWalk{last: after, find: find}
}

// From makes the walk begin with the row of a mark instead.
func (w *AuditWalk) From(mark AuditMark) { w.mark, w.last = &mark, AuditMark{ID: mark.ID - 1} }

// Full reports whether the report names as many breaks as it can.
func (w *AuditWalk) Full() bool { return w.Report.More }

// Step looks at the next row by id.
func (w *AuditWalk) Step(e *AuditEntry) error {
	if w.Report.Rows == 0 {
		w.Report.From = AuditMark{e.ID, e.Hash}
		if w.mark != nil && e.ID == w.mark.ID {
			w.last.Hash = e.PrevHash
			if !bytes.Equal(e.Hash, w.mark.Hash) {
				w.add(e.ID, AuditChanged, "row %d is not the one that was marked", e.ID)
			}
		}
	}
	w.Report.Rows++
	own := bytes.Equal(e.Hash, e.Chained())
	if !bytes.Equal(e.PrevHash, w.last.Hash) {
		if err := w.broken(e, own); err != nil {
			return err
		}
	} else if e.ID != w.last.ID+1 || !own {
		w.add(e.ID, AuditChanged, "row %d of %s is not as it was written", e.ID, e.At.UTC().Format(time.RFC3339))
	}
	w.last = AuditMark{e.ID, e.Hash}
	w.Report.To = w.last
	return nil
}

// broken finds out why a row does not follow the one before it. If that which it did follow is
// still there, it was moved; if not, that is gone, or was changed together with its hash.
func (w *AuditWalk) broken(e *AuditEntry, own bool) error {
	id, err := w.find(e.PrevHash)
	switch first := w.last.ID + 1; {
	case err != nil:
		return err
	case id != 0:
		w.add(e.ID, AuditReordered, "row %d does not follow row %d, where it is, but row %d", e.ID, w.last.ID, id)
	case e.ID > first+1:
		w.add(first, AuditMissing, "rows %d to %d are missing", first, e.ID-1)
	case e.ID > first:
		w.add(first, AuditMissing, "row %d is missing", first)
	case own:
		w.add(w.last.ID, AuditChanged, "row %d is not the one that row %d follows: it was changed together with its hash, or another took its place", w.last.ID, e.ID)
		return nil
	default:
		w.add(e.ID, AuditMissing, "what row %d follows is missing, and its place was filled", e.ID)
		return nil
	}
	if !own && id == 0 {
		w.add(e.ID, AuditChanged, "row %d of %s is not as it was written", e.ID, e.At.UTC().Format(time.RFC3339))
	}
	return nil
}

// End closes the walk: the last row must be the one that the database wrote last.
func (w *AuditWalk) End(head AuditMark) AuditReport {
	switch {
	case w.last.ID < head.ID:
		w.add(w.last.ID+1, AuditMissing, "the newest rows, %d to %d, are missing", w.last.ID+1, head.ID)
	case w.last.ID == head.ID && !bytes.Equal(w.last.Hash, head.Hash):
		w.add(w.last.ID, AuditChanged, "row %d is not the last that was written", w.last.ID)
	}
	return w.Report
}

func (w *AuditWalk) add(id int64, kind AuditFault, format string, args ...any) {
	if len(w.Report.Breaks) == maxBreaks {
		w.Report.More = true
		return
	}
	w.Report.Breaks = append(w.Report.Breaks, AuditBreak{id, kind, fmt.Sprintf(format, args...)})
}
