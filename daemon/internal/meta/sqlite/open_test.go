package sqlite_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// patience bounds the waits for something that must happen.
const (
	patience = 20 * time.Second
	tick     = time.Millisecond
)

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("not a database. "), 500), 0o600))
	_, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	require.ErrorIs(t, err, store.Corrupt)
	require.NotEmpty(t, store.HintOf(err))
}

func TestOpenWithoutItsFolderIsUnavailable(t *testing.T) {
	t.Parallel()
	_, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "missing", "metadata.db"), sqlite.Options{})
	require.ErrorIs(t, err, store.Unavailable)
	require.NotEmpty(t, store.HintOf(err))
}

func TestOpenUnderAnEndedContextIsCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "metadata.db"), sqlite.Options{})
	require.Equal(t, store.Canceled, store.KindOf(err))
}

func TestPathsAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "50% of ?#&= ключ")
	require.NoError(t, os.Mkdir(dir, 0o700))
	s := open(t, filepath.Join(dir, "meta data.db"))
	require.NoError(t, s.Ping(t.Context()))
	_, err := os.Stat(filepath.Join(dir, "meta data.db"))
	require.NoError(t, err)
}

func TestADeletedDefaultBucketStaysDeleted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	s := open(t, path)
	require.NoError(t, s.DeleteBucket(t.Context(), store.DefaultBucket, ""))
	require.NoError(t, s.Close())
	_, err := open(t, path).Bucket(t.Context(), store.DefaultBucket)
	require.ErrorIs(t, err, store.NotFound)
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "metadata.db"))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
}

// The umask of a service is often 022, and a mount point open to all.
func TestFilesAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "metadata.db")
	for _, before := range []os.FileMode{0, 0o644} {
		if before != 0 {
			require.NoError(t, os.Chmod(path, before))
		}
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		require.NoError(t, err)
		require.NoError(t, s.SaveCredential(t.Context(), store.Credential{AccessKey: before.String()}, ""))
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(files), 2, "the log is there, too")
		for _, f := range files {
			info, err := f.Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode(), f.Name())
		}
		require.NoError(t, s.Close())
	}
}
