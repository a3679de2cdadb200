package postgres_test

import (
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/metatest"
)

func TestMetadata(t *testing.T) {
	metatest.Run(t, func(tb testing.TB) metatest.Open {
		dsn := pgtest.Database(tb)
		return func(tb testing.TB) store.Metadata {
			tb.Helper()
			s, err := postgres.Open(tb.Context(), dsn, postgres.Options{})
			if err != nil {
				tb.Fatal(err)
			}
			return s
		}
	})
}
