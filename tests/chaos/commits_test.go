package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// slowCommits is a cluster whose database can be slowed down.
type slowCommits struct {
	t   *testing.T
	db  database
	api *api
	w   *workload
	n   int // keys so far
}

// The ways in which a commit is delayed.
var slowness = []struct {
	name string
	lock func(s *slowCommits, ctx context.Context, length time.Duration, held func()) error
}{
	{"table locked", func(s *slowCommits, ctx context.Context, length time.Duration, held func()) error {
		return s.hold(ctx, lockFiles, length, held)
	}},
	// A lock on the bucket's row fills the queues of group commit; then a lock on the key's row delays one commit of them.
	{"rows locked", func(s *slowCommits, ctx context.Context, length time.Duration, held func()) error {
		return s.hold(ctx, lockAllFiles, length, func() {
			locked := make(chan struct{})
			go func() {
				err := s.hold(ctx, lockBuckets, length*5/8, func() { close(locked) })
				if err != nil {
					s.t.Error(err)
				}
			}()
			<-locked
			held()
		})
	}},
}

// TestSlowCommitOnOverwrite changes objects while the database delays every commit for longer than a gateway
// waits. Whatever the answers, each name afterwards shows the complete old or new version.
func TestSlowCommitOnOverwrite(t *testing.T) {
	t.Parallel()
	seed := uint64(setting(t, envSeed, int(rand.Uint32())))
	trials := setting(t, envCommits, 0)
	t.Logf("%s=%d %s=%d", envSeed, seed, envCommits, trials)
	if trials == 0 {
		for _, how := range slowness {
			t.Run(how.name, func(t *testing.T) {
				t.Parallel()
				s := newSlowCommits(t)
				s.round(how.lock, 19*time.Second)
				s.verdict()
			})
		}
		return
	}
	const clusters = 4
	rounds := (trials + clusters*changesPerRound - 1) / (clusters * changesPerRound)
	for i := range clusters {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			s := newSlowCommits(t)
			for range rounds {
				how := slowness[rng.IntN(len(slowness))]
				length := 10*time.Second + time.Duration(rng.IntN(30_000))*time.Millisecond
				t.Logf("%s for %v", how.name, length)
				s.round(how.lock, length)
			}
			s.verdict()
		})
	}
}

func newSlowCommits(t *testing.T) *slowCommits {
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: keptDir(t), Bin: bin, Gateway: keepReplaced(t, "s3gateway", 0)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	a := newAPI(c.URL, c.AccessKey, c.SecretKey, 3*time.Minute)
	t.Cleanup(a.close)
	return &slowCommits{
		t: t, db: database{c.Database.DSN("postgres")}, api: a,
		w: newWorkload(newHistory(time.Hour, time.Now()), []*api{a}, 0),
	}
}

func (s *slowCommits) hold(ctx context.Context, lock string, length time.Duration, held func()) error {
	ctx, cancel := context.WithTimeout(ctx, length+time.Minute)
	defer cancel()
	release := make(chan struct{})
	return s.db.hold(ctx, lock, func() {
		time.AfterFunc(length, func() { close(release) })
		held()
	}, release)
}

// changesPerRound is how many objects are changed while one lock is held.
const changesPerRound = 12

// round prepares objects, changes each while the lock is held, and reads all of them once no work is pending.
func (s *slowCommits) round(lock func(*slowCommits, context.Context, time.Duration, func()) error, length time.Duration) {
	ctx := s.t.Context()
	var changes []func()
	for i := range changesPerRound {
		changes = append(changes, s.prepare(ctx, i))
	}
	locked, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- lock(s, ctx, length, func() { close(locked) }) }()
	select {
	case <-locked:
	case err := <-ended:
		s.t.Fatalf("the lock cannot be taken: %v", err)
	}
	var wg sync.WaitGroup
	for _, change := range changes {
		wg.Go(change)
	}
	wg.Wait()
	require.NoError(s.t, <-ended)
	s.quiet(ctx)
	for _, key := range s.w.h.names() {
		s.look(ctx, key)
	}
}

// prepare stores an object and returns a change of it, of one of the kinds that replace or remove something.
func (s *slowCommits) prepare(ctx context.Context, kind int) func() {
	s.n++
	key, other := fmt.Sprintf("slow-%d", s.n), fmt.Sprintf("source-%d", s.n)
	size := int64(10 << 10)
	if kind%2 == 1 {
		size = 1 << 20
	}
	s.w.put(ctx, 0, key, size)
	switch {
	case kind < 6:
		return func() { s.w.put(ctx, 0, key, size) }
	case kind < 8:
		o := &openSession{key: key, version: s.w.newVersion(size), parts: 1}
		var created fileInfo
		require.NoError(s.t, s.api.json(ctx, http.MethodPost, "/sessions", nil, map[string]any{"bucket": bucket, "name": key}, &created))
		o.id = created.SessionID
		require.True(s.t, s.w.part(ctx, rand.New(rand.NewPCG(1, 1)), key, o.id, 1, o.version, 0, size))
		return func() { s.w.complete(ctx, 0, o) }
	case kind < 10:
		s.w.put(ctx, 0, other, size)
		id, v := s.current(ctx, other)
		if kind == 8 {
			return func() { s.w.rename(ctx, 0, id, other, key, v) }
		}
		return func() { s.w.copy(ctx, 0, id, other, key, v) }
	default:
		return func() { s.w.delete(ctx, 0, key) }
	}
}

func (s *slowCommits) current(ctx context.Context, key string) (string, version) {
	id, err := s.api.latest(ctx, bucket, key)
	require.NoError(s.t, err)
	v, ok := s.w.versionOf(id)
	require.True(s.t, ok, "%s was acknowledged", key)
	return id, v
}

// quiet waits until the database has had no statement in progress and no queued work for a while: a commit
// that was abandoned may still be in flight.
func (s *slowCommits) quiet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for calm := 0; calm < 15; time.Sleep(100 * time.Millisecond) { // ADR 111: polls other processes
		busy, err := s.db.busy(ctx)
		require.NoError(s.t, err)
		tasks, err := s.db.tasks(ctx)
		require.NoError(s.t, err)
		if calm++; busy+tasks > 0 {
			calm = 0
		}
	}
}

// look reads an object. It must succeed, since all nodes are running.
func (s *slowCommits) look(ctx context.Context, key string) {
	began := time.Now()
	id, err := s.api.latest(ctx, bucket, key)
	ended := time.Now()
	require.NoError(s.t, err)
	v := absent
	if id != "" {
		if v, err = s.api.get(ctx, id, s.w.h.size); err != nil {
			s.w.h.fail(key, "neither version reads: %v", err)
			return
		}
	}
	s.w.h.read(key, v, began, ended)
}

func (s *slowCommits) verdict() {
	for what, n := range s.w.summary() {
		s.t.Logf("%6d  %s", n, what)
	}
	for _, wrong := range s.w.h.wrong() {
		s.t.Error(wrong)
	}
}
