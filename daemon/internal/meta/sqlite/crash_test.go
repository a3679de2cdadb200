package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// victimVariable makes the test binary the program that is killed: it says where the database is.
const victimVariable = "RINGSTORE_TEST_VICTIM"

// runAsVictim commits files from eight goroutines until it is killed, and
// prints the id of each once it is acknowledged.
func runAsVictim() bool {
	path := os.Getenv(victimVariable)
	if path == "" {
		return false
	}
	s, err := sqlite.Open(context.Background(), path, sqlite.Options{})
	if err != nil {
		panic(err)
	}
	for range 8 {
		go func() {
			for {
				f := newFile("")
				f.Key = store.Key(f.ID.String()) // replaces nothing
				if _, _, err := s.CommitFile(context.Background(), store.Commit{File: f}); err != nil {
					panic(err)
				}
				fmt.Println(f.ID) // one write call, so lines stay whole
			}
		}()
	}
	select {}
}

func TestAKilledProcessLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	var acknowledged []store.FileID
	for round := range 3 {
		acknowledged = append(acknowledged, killAfter(t, path, 300*(round+1))...)
		s := open(t, path)
		for _, id := range acknowledged {
			f, err := s.File(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, store.Complete, f.State)
			require.Len(t, f.Parts, 1, "a file without its part was committed")
		}
		if round == 2 {
			require.NoError(t, s.Close())
		} // otherwise the next process finds it open, as it does when a gateway is restarted too soon
	}
}

// killAfter runs the victim until it has acknowledged so many files, and kills it.
func killAfter(t *testing.T, path string, count int) (acknowledged []store.FileID) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, err := store.ParseFileID(lines.Text())
		if err != nil {
			continue // the line that the kill cut
		}
		if acknowledged = append(acknowledged, id); len(acknowledged) == count {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait(), "it was killed")
	require.GreaterOrEqual(t, len(acknowledged), count)
	return acknowledged
}

func TestATornLogIsReadUpToItsLastWholeCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "metadata.db")
	s := open(t, path)
	f := newFile("whole")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	whole, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	last := newFile("torn")
	_, _, err = s.CommitFile(t.Context(), store.Commit{File: last})
	require.NoError(t, err)
	database, err := os.ReadFile(path)
	require.NoError(t, err)
	log, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	require.Greater(t, len(log), int(whole.Size()))

	for cut := int(whole.Size()); cut < len(log); cut += 1000 {
		crashed := filepath.Join(t.TempDir(), "metadata.db")
		require.NoError(t, os.WriteFile(crashed, database, 0o600))
		require.NoError(t, os.WriteFile(crashed+"-wal", log[:cut], 0o600))
		again := open(t, crashed)
		_, err = again.File(t.Context(), f.ID)
		require.NoError(t, err)
		_, err = again.File(t.Context(), last.ID)
		require.ErrorIs(t, err, store.NotFound, "half a commit is none")
		require.NoError(t, again.Close())
	}
}

func TestTheLogIsCutOffAtRest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{Rest: 1})
	require.NoError(t, err)
	defer s.Close()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			_, _, err := s.CommitFile(context.Background(), store.Commit{File: newFile(fmt.Sprint(i))})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Eventually(t, func() bool {
		log, err := os.Stat(path + "-wal")
		return err == nil && log.Size() == 0
	}, patience, tick)
	page, err := s.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 100})
	require.NoError(t, err)
	require.Len(t, page.Entries, 50)
}
