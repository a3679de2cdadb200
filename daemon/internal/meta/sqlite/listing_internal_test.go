package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// A listing by time sorts what a prefix selects, so that must not be too much.
func TestListingByTimeOfTooManyFiles(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"), Options{ListTimeout: time.Minute}) // whatever the race detector costs
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.db.Write(t.Context(), "Test", func(t *db.Tx) error {
		_, err := t.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= 10000)
			INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker, created_at, completed_at, crc64, etag, failure)
			SELECT randomblob(16), 1, CAST(printf('many/%d/%05d', i % 2, i) AS BLOB), 1, '', 2, 1, 0, i, i, 0, '', '' FROM n`)
		return err
	}))
	for _, q := range []store.FileQuery{{Prefix: "many/"}, {Prefix: "many/", Bucket: store.DefaultBucket, Descending: true}} {
		q.Limit = 1
		_, err := s.ListFiles(t.Context(), q)
		require.ErrorIs(t, err, store.Invalid)
		require.NotEmpty(t, store.HintOf(err))
		q.Prefix = "many/1"
		page, err := s.ListFiles(t.Context(), q)
		require.NoError(t, err)
		require.True(t, page.More)
	}
}

// A listing is interrupted at its limit, and its connection serves the next call.
func TestListingsAreInterrupted(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"), Options{Readers: 1, ListTimeout: 200 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for range 3 {
		err := s.db.List(t.Context(), "Test", func(r *db.Reader) error {
			var n int
			return r.Row("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n").Scan(&n)
		})
		require.ErrorIs(t, err, store.Unavailable)
		require.ErrorContains(t, err, "the listing took longer than 200ms")
		_, err = s.ListBuckets(t.Context())
		require.NoError(t, err)
		_, err = s.ListFiles(t.Context(), store.FileQuery{Limit: 1})
		require.NoError(t, err)
	}
}
