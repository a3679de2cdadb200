package sqlite_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The versions of a key are in the order of their commits although the clock steps back between them, also after a restart.
func TestVersionsKeepTheirOrderWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	var clock atomic.Int64
	clock.Store(time.Now().UnixMicro())
	var all []store.File
	for range 3 {
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{Now: func() time.Time { return time.UnixMicro(clock.Load()) }})
		require.NoError(t, err)
		for range 2 {
			f := newFile("a")
			_, _, err := s.CommitFile(t.Context(), store.Commit{File: f, Change: store.Change{Before: store.KeepBefore}})
			require.NoError(t, err)
			all = append(all, f)
			clock.Add(-time.Hour.Microseconds())
		}
		require.NoError(t, s.Close())
	}
	s := open(t, path)
	for len(all) > 0 {
		f, err := s.LatestFile(t.Context(), store.DefaultBucket, "a")
		require.NoError(t, err)
		require.Equal(t, all[len(all)-1].ID, f.ID)
		require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: f.ID}))
		all = all[:len(all)-1]
	}
}
