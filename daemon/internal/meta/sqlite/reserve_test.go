package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/tests/fulldisk"
)

func TestAFullDiskStillDeletes(t *testing.T) {
	t.Parallel()
	dir := fulldisk.Mount(t, 24<<20)
	path := filepath.Join(dir, "metadata.db")
	s := open(t, path)
	var files []store.File
	for i := range 300 {
		f := newFile(fmt.Sprint(i))
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
		require.NoError(t, err)
		files = append(files, f)
	}
	filler := fulldisk.Fill(t, dir)
	// What the log and the database have left over is used up first.
	var err error
	for i := 0; err == nil && i < 100_000; i++ {
		_, _, err = s.CommitFile(t.Context(), store.Commit{File: newFile(fmt.Sprint("more", i))})
	}
	require.ErrorIs(t, err, store.NoSpace)

	for _, f := range files[:200] {
		require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	}
	_, err = s.SweepDeleted(t.Context(), 0, 200)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, "metadata.reserve"))
	require.NoError(t, err)
	require.Zero(t, info.Size(), "what was kept for deletions was given to them")
	fulldisk.Fill(t, dir)
	_, err = s.BeatNodes(t.Context(), []store.Beat{{Node: store.NewNodeID()}})
	require.ErrorIs(t, err, store.NoSpace, "a beat tells whether a write would succeed")
	require.ErrorContains(t, err, "only deletes")
	require.NotEmpty(t, store.HintOf(err))
	_, err = s.File(t.Context(), files[250].ID)
	require.NoError(t, err, "reads do not need space")

	require.NoError(t, os.Remove(filler))
	require.Eventually(t, func() bool {
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: newFile("after")})
		return err == nil
	}, patience, tick)
	info, err = os.Stat(filepath.Join(dir, "metadata.reserve"))
	require.NoError(t, err)
	require.EqualValues(t, 4<<20, info.Size(), "the reserve is back before the first write")
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// A gateway that is restarted on a full disk must be able to delete, too.
func TestAFullDiskCanBeOpened(t *testing.T) {
	t.Parallel()
	dir := fulldisk.Mount(t, 24<<20)
	path := filepath.Join(dir, "metadata.db")
	s := open(t, path)
	f := newFile("kept")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	node := store.Node{ID: store.NewNodeID(), Name: "one", Weight: 1}
	_, err = s.JoinNode(t.Context(), node)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	fulldisk.Fill(t, dir)
	s, err = sqlite.Open(t.Context(), path, sqlite.Options{})
	require.NoError(t, err)
	_, joined := s.JoinNode(t.Context(), node)
	deleted := s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()})
	require.NoError(t, errors.Join(joined, deleted, s.Close()))
}
