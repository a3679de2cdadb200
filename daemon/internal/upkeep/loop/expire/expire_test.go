package expire_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/expire"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin records an upload with one planned chunk.
func begin(t *testing.T, m *mem.Metadata, name string) store.File {
	t.Helper()
	f := store.File{
		ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: store.Key(name), Size: 10, CreatedAt: time.Now().UTC(),
		Parts: []store.Part{{ID: store.NewPartID(), Number: 1, Size: 10, K: 1, UnitSize: 64, Chunks: []store.Placement{{Node: store.NewNodeID()}}}},
	}
	require.NoError(t, m.BeginFile(t.Context(), f))
	return f
}

func state(t *testing.T, m *mem.Metadata, id store.FileID) store.FileState {
	t.Helper()
	f, err := m.File(t.Context(), id)
	require.NoError(t, err)
	return f.State
}

func TestOldUploadsAreGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		kicked := 0
		j := expire.New(expire.Config{Meta: m, Reclaim: func() { kicked++ }, Log: upkeeptest.Quiet})
		old := begin(t, m, "old")
		time.Sleep(time.Hour)
		young := begin(t, m, "young")
		done := begin(t, m, "done")
		done.Parts = nil
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: done, Begun: true})
		require.NoError(t, err)

		time.Sleep(22 * time.Hour)
		out, err := j.Step(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, upkeep.Outcome{State: upkeep.Idle}, out)
		require.Equal(t, store.Uploading, state(t, m, old.ID))

		time.Sleep(time.Hour + time.Second)
		out, err = j.Step(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, upkeep.Outcome{State: upkeep.Busy, Items: 1}, out)
		require.Equal(t, 1, kicked)
		require.Equal(t, store.Failed, state(t, m, old.ID))
		require.Equal(t, store.Uploading, state(t, m, young.ID))
		require.Equal(t, store.Complete, state(t, m, done.ID))
		f, err := m.File(t.Context(), old.ID)
		require.NoError(t, err)
		require.Contains(t, f.Failure, "24h")
		depth, err := m.Depth(t.Context(), store.Reclaim)
		require.NoError(t, err)
		require.EqualValues(t, 2, depth.Tasks, "its chunk, and the one that the other planned and did not use")
	})
}

func TestManyPagesOfOldUploads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		for i := range 250 {
			begin(t, m, fmt.Sprint("file-", i))
		}
		time.Sleep(2 * time.Hour)
		j := expire.New(expire.Config{Meta: m, After: time.Hour, Log: upkeeptest.Quiet})
		var items int64
		for range 4 {
			out, err := j.Step(t.Context(), 1)
			require.NoError(t, err)
			items += out.Items
		}
		require.EqualValues(t, 250, items)
	})
}

// broken answers FailFile with an error.
type broken struct {
	expire.Meta
	err error
}

func (b broken) FailFile(context.Context, store.File, string, []store.Part) error { return b.err }

func TestAnUploadThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		begin(t, m, "racing")
		time.Sleep(25 * time.Hour)
		for _, kind := range []store.Kind{store.NotFound, store.Conflict} {
			_, err := expire.New(expire.Config{Meta: broken{m, store.Errorf(kind, "test")}}).Step(t.Context(), 1)
			require.NoError(t, err)
		}
		_, err := expire.New(expire.Config{Meta: broken{m, upkeeptest.ErrAway}}).Step(t.Context(), 1)
		require.ErrorIs(t, err, store.Unavailable)
		require.NoError(t, m.Close())
		_, err = expire.New(expire.Config{Meta: m}).Step(t.Context(), 1)
		require.ErrorIs(t, err, store.Unavailable)
	})
}

func TestNameAndPace(t *testing.T) {
	t.Parallel()
	j := expire.New(expire.Config{Meta: mem.NewMetadata()})
	require.Equal(t, expire.Name, j.Name())
	require.Positive(t, j.Pace().Every)
}
