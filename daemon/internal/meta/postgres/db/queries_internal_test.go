package db

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamedArgumentsAreNumbered(t *testing.T) {
	t.Parallel()
	text, names := number("SELECT @b::text[], @a_c, @b WHERE x = '@' AND @a_c > 0")
	require.Equal(t, "SELECT $1::text[], $2, $1 WHERE x = '@' AND $2 > 0", text)
	require.Equal(t, []string{"b", "a_c"}, names)
	q := &Queries{params: map[string][]string{text: names}}
	require.Equal(t, []any{1, 2}, q.Args(text, Values{"a_c": 2, "b": 1, "other": 3}))
	require.Nil(t, q.Args(text, Values{"a_c": 2}))
}
