package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// stripedPart is a part of eight chunks, as a large body has them.
func stripedPart(number int) store.Part {
	p := store.Part{ID: store.NewPartID(), Number: number, Size: 8 << 20, K: 6, M: 2, UnitSize: 256 << 10, Chunks: make([]store.Placement, 8)}
	for i := range p.Chunks {
		p.Chunks[i] = store.Placement{Node: store.NewNodeID(), Sum: store.ChunkSum(i)}
	}
	return p
}

// newSession begins a session of the key.
func newSession(tb testing.TB, s store.Metadata, key store.Key) store.Session {
	tb.Helper()
	x, err := s.CreateSession(tb.Context(), store.Session{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: key, Size: -1}, time.Hour, store.SessionLimits{})
	require.NoError(tb, err)
	return x
}

// Parts of one session, each begun and saved.
func BenchmarkSavePart(b *testing.B) {
	for _, callers := range []int{1, 8, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, _ := durable(b)
			x := newSession(b, s, "large")
			parallel(b, callers, func(n int64) error {
				p := stripedPart(int(n))
				if err := s.BeginPart(context.Background(), x.ID, p); err != nil {
					return err
				}
				return s.SavePart(context.Background(), store.SessionChange{Session: x.ID}, p, time.Hour)
			})
		})
	}
}

// A file of as many parts as one may have; what is measured is the completion alone.
func BenchmarkCompleteSession(b *testing.B) {
	s, dsn := durable(b)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		x := newSession(b, s, store.Key(fmt.Sprint("large-", i)))
		f := store.File{ID: x.ID, Bucket: x.Bucket, Key: x.Key, Parts: loadParts(b, dsn, x.ID, store.MaxParts)}
		b.StartTimer()
		stored, _, err := s.CompleteSession(b.Context(), store.Completion{File: f, Sessions: []store.FileID{x.ID}, Attempt: store.NewAttemptID()})
		require.NoError(b, err)
		require.Len(b, stored.Parts, store.MaxParts)
	}
}

// loadParts gives a session n parts of eight chunks, and returns what a completion says of them.
func loadParts(tb testing.TB, dsn string, session store.FileID, n int) []store.Part {
	tb.Helper()
	run(tb, dsn, fmt.Sprintf(`INSERT INTO parts (owner, number, id, state, size, k, m, unit_size, crc64, nodes, sums, stored_at)
		SELECT '%s', i, gen_random_uuid(), 2, 8388608, 6, 2, 262144, i, decode(repeat('07', 128), 'hex'), decode(repeat('05', 32), 'hex'), now()
		FROM generate_series(1, %d) AS i`, session, n))
	m := open(tb, dsn, postgres.Options{})
	x, err := m.Session(tb.Context(), session)
	require.NoError(tb, err)
	parts := make([]store.Part, n)
	for i, p := range x.Parts {
		parts[i] = store.Part{ID: p.ID, Number: p.Number}
	}
	return parts
}
