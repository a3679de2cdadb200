package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestTransportOf(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]postgres.Transport{
		"postgres://u@127.0.0.1/d":                            postgres.Local,
		"host=/run/postgresql user=u":                         postgres.Local,
		"postgres://u@db/d":                                   postgres.Plain,
		"postgres://u@db/d?sslmode=disable":                   postgres.Plain,
		"postgres://u@db/d?sslmode=prefer":                    postgres.Plain,
		"postgres://u@db/d?sslmode=require":                   postgres.Unverified,
		"postgres://u@db/d?sslmode=verify-full":               postgres.Verified,
		"postgres://u@127.0.0.1,db/d?sslmode=disable":         postgres.Plain,
		"postgres://u@db1:5432,db2:5432/d?sslmode=verify-ca":  postgres.Verified,
		"postgres://u@localhost:1,db2:5432/d?sslmode=require": postgres.Unverified,
	} {
		got, err := postgres.TransportOf(dsn)
		require.NoError(t, err, dsn)
		require.Equal(t, want, got, dsn)
	}
	_, err := postgres.TransportOf("postgres://u:hidden@db:port/d")
	require.ErrorIs(t, err, store.Invalid)
	require.NotContains(t, err.Error(), "hidden")
}
