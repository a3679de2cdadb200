package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestNamedArgumentsAreNumbered(t *testing.T) {
	t.Parallel()
	text, names := number("SELECT @b::text[], @a_c, @b WHERE x = '@' AND @a_c > 0")
	require.Equal(t, "SELECT $1::text[], $2, $1 WHERE x = '@' AND $2 > 0", text)
	require.Equal(t, []string{"b", "a_c"}, names)
	q := &queries{params: map[string][]string{text: names}}
	require.Equal(t, []any{1, 2}, q.args(text, values{"a_c": 2, "b": 1, "other": 3}))
	require.Nil(t, q.args(text, values{"a_c": 2}))
}

// Each statement that names its arguments gets a value for each, and uses all that are given but those of its kind.
func TestStatementsGetTheirValues(t *testing.T) {
	t.Parallel()
	q, err := loadQueries()
	require.NoError(t, err)
	r := &fileRow{file: store.File{ID: store.NewFileID()}}
	rows := []*fileRow{r}
	claims := fileValues(r)
	claims["sessions"], claims["parts"] = 1, 2
	for text, v := range map[string]values{
		q.StoreFiles: storeValues(store.Complete, rows), q.CompleteUpload: newPartArrays(rows).addTo(fileValues(r)), q.ClaimSessions: claims,
		q.BeginPart: partValues(r.file.ID, store.Part{}), q.StorePart: partValues(r.file.ID, store.Part{}),
	} {
		require.NotEmpty(t, q.params[text])
		require.Len(t, q.args(text, v), len(q.params[text]))
	}
}
