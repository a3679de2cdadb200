package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Each statement that names its arguments gets a value for each, and uses all that are given but those of its kind.
func TestStatementsGetTheirValues(t *testing.T) {
	t.Parallel()
	q, err := db.Load()
	require.NoError(t, err)
	r := &fileRow{file: store.File{ID: store.NewFileID()}}
	rows := []*fileRow{r}
	claims := fileValues(r)
	claims["sessions"], claims["parts"] = 1, 2
	saved := partValues(r.file.ID, store.Part{})
	saved["missing"], saved["priority"] = 1, 2
	for text, v := range map[string]db.Values{
		q.StoreFiles: storeValues(store.Complete, rows), q.CompleteUpload: newRepairArrays(rows).addTo(newPartArrays(rows).addTo(fileValues(r))), q.ClaimSessions: claims,
		q.BeginPart: partValues(r.file.ID, store.Part{}), q.StorePart: saved, q.AddSegment: segmentValues(store.LogSegment{}),
	} {
		require.NotEmpty(t, q.Args(text, v))
	}
}
