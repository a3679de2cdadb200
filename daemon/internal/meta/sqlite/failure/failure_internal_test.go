package failure

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	own := store.Errorf(store.Denied, "no")
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		kind store.Kind
	}{
		"own":      {t.Context(), own, store.Denied},
		"ended":    {canceled, errors.New("x"), store.Canceled},
		"canceled": {t.Context(), context.Canceled, store.Canceled},
		"no rows":  {t.Context(), sql.ErrNoRows, store.NotFound},
		"unknown":  {t.Context(), errors.New("x"), store.Internal},
	} {
		require.Equal(t, c.kind, store.KindOf(Translate(c.ctx, "op", c.err)), name)
	}
	require.NoError(t, Translate(t.Context(), "op", nil))
	for code, kind := range map[int]store.Kind{
		5: store.Unavailable, 6: store.Unavailable, 8: store.Unavailable, 9: store.Canceled, 10: store.Unavailable, 11: store.Corrupt,
		13: store.NoSpace, 14: store.Unavailable, 26: store.Corrupt, 1555: store.Exists, 2067: store.Exists, 1299: store.Internal, 266: store.Unavailable, 21: store.Internal,
	} {
		got, _ := kindOfCode(code)
		require.Equal(t, kind, got, "code %d", code)
	}
}
