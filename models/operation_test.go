package models_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// A deed is about what was said first, each thing once, and told of once.
func TestDeed(t *testing.T) {
	var d models.Deed
	what, ids := d.News()
	require.Empty(t, what)
	require.Empty(t, ids)
	for _, id := range []string{"a", "b", "a"} {
		d.Note(models.AuditOfUser, id)
		d.Note(models.AuditOfRole, "beside the point")
	}
	what, ids = d.News()
	require.Equal(t, models.AuditOfUser, what)
	require.Equal(t, []string{"a", "b"}, ids)
	for i := range 300 {
		d.Note(models.AuditOfUser, fmt.Sprint(i))
	}
	_, ids = d.News()
	require.Len(t, ids, 198, "it is bounded")
	_, ids = d.News()
	require.Empty(t, ids)
	_, ids = d.Subjects()
	require.Len(t, ids, 200)
}
