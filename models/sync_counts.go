package models

import "slices"

// CountLine is a number with its name, for people.
type CountLine struct {
	Name string
	N    int
}

// Lines are what there was of anything, beside what was listed, in the order of a report.
func (c SyncCounts) Lines() []CountLine {
	return counted(
		CountLine{"added", c.Added},
		CountLine{"changed", c.Changed},
		CountLine{"back again", c.Returned},
		CountLine{"gone", c.Gone},
		CountLine{"unchanged", c.Unchanged},
		CountLine{"missing, held back", c.Held},
		CountLine{"missing, kept", c.Kept},
		CountLine{"deleted here, left alone", c.Deleted},
	)
}

// Lines are what there was of anything, beside what was listed, in the order of a report.
func (c UserCounts) Lines() []CountLine {
	return counted(
		CountLine{"missing there", c.Missing},
		CountLine{"different there", c.Different},
		CountLine{"not ours, left alone", c.Unknown},
	)
}

// Lines are what there was of anything, beside what was listed, in the order of a report.
func (c KeyCounts) Lines() []CountLine {
	return counted(
		CountLine{"missing there", c.Missing},
		CountLine{"different there", c.Different},
		CountLine{"of these, followed here", c.Followed},
		CountLine{"of these, a person decides", c.Disputed},
		CountLine{"not ours", c.Unknown},
		CountLine{"of these, claim to be ours", c.Suspect},
	)
}

func counted(lines ...CountLine) []CountLine {
	return slices.DeleteFunc(lines, func(l CountLine) bool { return l.N == 0 })
}
