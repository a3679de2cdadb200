package expire_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/expire"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

// open creates a session that expires in a day unless a part arrives, with one part in it.
func open(t *testing.T, m *mem.Metadata, name string) store.Session {
	t.Helper()
	s, err := m.CreateSession(t.Context(), store.Session{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: store.Key(name), Size: -1}, 24*time.Hour, store.SessionLimits{})
	require.NoError(t, err)
	feed(t, m, s)
	return s
}

func feed(t *testing.T, m *mem.Metadata, s store.Session) {
	t.Helper()
	p := store.Part{ID: store.NewPartID(), Number: 1, Size: 10, K: 1, UnitSize: 64, Chunks: []store.Placement{{Node: store.NewNodeID()}}}
	require.NoError(t, m.SavePart(t.Context(), store.SessionChange{Session: s.ID, Caller: "client"}, p, 24*time.Hour))
}

func TestCleanupJob_ExpiredSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		kicked := 0
		j := expire.NewSessions(expire.SessionsConfig{Meta: m, Reclaim: func() { kicked++ }, Log: upkeeptest.Quiet})
		var old []store.Session
		for i := range 250 {
			old = append(old, open(t, m, fmt.Sprint("file-", i)))
		}
		time.Sleep(24*time.Hour + time.Second)
		var items int64
		for range 3 {
			out, err := j.Step(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, upkeep.Busy, out.State)
			items += out.Items
		}
		require.EqualValues(t, len(old), items)
		require.Equal(t, 3, kicked)
		out, err := j.Step(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, upkeep.Idle, out.State)
		for _, s := range old {
			require.ErrorIs(t, m.AbortSession(t.Context(), store.SessionChange{Session: s.ID}), store.NotFound)
			f, err := m.File(t.Context(), s.ID)
			require.NoError(t, err)
			require.Empty(t, f.ChangedBy, "no client asked for it")
		}
		swept, err := m.SweepDeleted(t.Context(), time.Hour, store.MaxListLimit)
		require.NoError(t, err)
		require.Equal(t, 2*len(old), swept, "the part and the rest of each; nothing can be read of them, so there is no grace")
		depth, err := m.Depth(t.Context(), store.Reclaim)
		require.NoError(t, err)
		require.EqualValues(t, len(old), depth.Tasks, "the chunk of each one's part")
	})
}

func TestCleanupJob_ActiveSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		j := expire.NewSessions(expire.SessionsConfig{Meta: m, Log: upkeeptest.Quiet})
		s := open(t, m, "active")
		for range 5 { // each part extends the session
			time.Sleep(23 * time.Hour)
			out, err := j.Step(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, upkeep.Outcome{State: upkeep.Idle}, out)
			feed(t, m, s)
		}
		got, err := m.Session(t.Context(), s.ID)
		require.NoError(t, err)
		require.EqualValues(t, 10, got.Received)
		depth, err := m.Depth(t.Context(), store.Reclaim)
		require.NoError(t, err)
		require.EqualValues(t, 5, depth.Tasks, "the parts that were replaced, and nothing else")
	})
}

// stubborn is a store that fails to abort sessions.
type stubborn struct {
	expire.SessionMeta
	err error
}

func (s stubborn) AbortSession(context.Context, store.SessionChange) error { return s.err }

func TestSessionsThatEndMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := mem.NewMetadata()
		open(t, m, "racing")
		time.Sleep(25 * time.Hour)
		_, err := expire.NewSessions(expire.SessionsConfig{Meta: stubborn{m, store.Errorf(store.NotFound, "test")}}).Step(t.Context(), 1)
		require.NoError(t, err)
		_, err = expire.NewSessions(expire.SessionsConfig{Meta: stubborn{m, upkeeptest.ErrAway}}).Step(t.Context(), 1)
		require.ErrorIs(t, err, store.Unavailable)
		require.NoError(t, m.Close())
		j := expire.NewSessions(expire.SessionsConfig{Meta: m})
		_, err = j.Step(t.Context(), 1)
		require.ErrorIs(t, err, store.Unavailable)
		require.Equal(t, expire.SessionsName, j.Name())
		require.Positive(t, j.Pace().Every)
	})
}
