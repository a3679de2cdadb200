package engine_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// slow is a metadata store that loses the answers of changes: they happen at once, or land only when the test says so.
type slow struct {
	store.Metadata
	mu     sync.Mutex // guards what follows
	lose   bool       // answers of changes are lost
	first  bool       // the change happens, only its answer is lost
	silent bool       // fences are not answered either
	late   []func() error
}

func (s *slow) set(lose, first, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose, s.first, s.silent = lose, first, silent
}

// change runs one, or keeps it for land.
func (s *slow) change(do func() error) error {
	s.mu.Lock()
	lose, first := s.lose, s.first
	if lose && !first {
		s.late = append(s.late, do)
	}
	s.mu.Unlock()
	if !lose {
		return do()
	}
	if first {
		if err := do(); err != nil {
			return err
		}
	}
	return store.Errorf(store.Unavailable, "the answer did not come")
}

// fence refuses while silent.
func (s *slow) fence(do func() error) error {
	s.mu.Lock()
	silent := s.silent
	s.mu.Unlock()
	if silent {
		return store.Errorf(store.Unavailable, "connection refused")
	}
	return do()
}

// land lets all changes arrive whose answers were lost, and returns what became of them.
func (s *slow) land() (errs []error) {
	s.mu.Lock()
	late := s.late
	s.late, s.lose = nil, false
	s.mu.Unlock()
	for _, do := range late {
		errs = append(errs, do())
	}
	return errs
}

func (s *slow) CommitFile(_ context.Context, c store.Commit) (stored store.File, replaced store.FileID, err error) {
	err = s.change(func() (err error) {
		stored, replaced, err = s.Metadata.CommitFile(context.Background(), c)
		return err
	})
	return stored, replaced, err
}

func (s *slow) SavePart(_ context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	return s.change(func() error { return s.Metadata.SavePart(context.Background(), c, p, ttl) })
}

func (s *slow) CompleteSession(_ context.Context, c store.Completion) (stored store.File, replaced store.FileID, err error) {
	err = s.change(func() (err error) {
		stored, replaced, err = s.Metadata.CompleteSession(context.Background(), c)
		return err
	})
	return stored, replaced, err
}

func (s *slow) DeleteFile(_ context.Context, d store.Deletion) error {
	return s.change(func() error { return s.Metadata.DeleteFile(context.Background(), d) })
}

func (s *slow) RenameFile(_ context.Context, r store.Rename) (f store.File, replaced store.FileID, err error) {
	err = s.change(func() (err error) {
		f, replaced, err = s.Metadata.RenameFile(context.Background(), r)
		return err
	})
	return f, replaced, err
}

func (s *slow) FailFile(ctx context.Context, f store.File, reason string, attempted []store.Part) error {
	return s.fence(func() error { return s.Metadata.FailFile(ctx, f, reason, attempted) })
}

func (s *slow) DropPart(ctx context.Context, p store.Part) error {
	return s.fence(func() error { return s.Metadata.DropPart(ctx, p) })
}

func (s *slow) Enqueue(ctx context.Context, tasks []store.Task) error {
	return s.fence(func() error { return s.Metadata.Enqueue(ctx, tasks) })
}

func (s *slow) Abandon(ctx context.Context, a store.AttemptID) (happened bool, err error) {
	err = s.fence(func() (err error) { happened, err = s.Metadata.Abandon(ctx, a); return err })
	return happened, err
}

// scene is one kind of change, prepared: what it does, and what must be readable if it did not happen, and if it did.
type scene struct {
	change func() error
	before func(t *testing.T) // nothing happened: all that was acknowledged reads whole
	after  func(t *testing.T) // it happened
}

func shows(r *rig, key string, body []byte) func(*testing.T) {
	return func(t *testing.T) {
		o, err := r.OpenLatest(context.Background(), store.DefaultBucket, store.Key(key))
		require.NoError(t, err)
		require.Equal(t, body, r.read(t, o, 0, o.File().Size))
	}
}

// scenes are all changes that a client can ask for, on data that was acknowledged.
var scenes = map[string]func(t *testing.T, r *rig) scene{
	"overwrite, small": func(t *testing.T, r *rig) scene { return overwrite(t, r, 1000) },
	"overwrite, large": func(t *testing.T, r *rig) scene { return overwrite(t, r, 40*testUnit) },
	"overwrite, begun": func(t *testing.T, r *rig) scene {
		s, next := overwrite(t, r, 60*testUnit), randomBytes(60*testUnit)
		s.change = func() error {
			q := request("key", next)
			q.Size = -1 // so that the upload is recorded before its end
			_, err := r.Put(context.Background(), q)
			return err
		}
		return s
	},
	"copy": func(t *testing.T, r *rig) scene {
		from, there := r.put(t, "from", randomBytes(300)), randomBytes(70)
		r.put(t, "key", there)
		return scene{
			func() error {
				_, err := r.Copy(context.Background(), from.ID, store.DefaultBucket, "key", store.Change{Caller: ""})
				return err
			},
			shows(r, "key", there), shows(r, "key", randomBytes(300)),
		}
	},
	"part": func(t *testing.T, r *rig) scene {
		s := r.session(t, "key", -1)
		old, next := randomBytes(700), randomBytes(900)
		r.part(t, s, 1, old)
		complete := func(want []byte) func(*testing.T) {
			return func(t *testing.T) {
				f, err := r.CompleteSession(context.Background(), all(s))
				require.NoError(t, err)
				require.Equal(t, want, r.get(t, f.ID))
			}
		}
		return scene{
			func() error { _, err := r.PutPart(context.Background(), partRequest(s, 1, next)); return err },
			complete(old), complete(next),
		}
	},
	"complete": func(t *testing.T, r *rig) scene {
		old, next := randomBytes(80), randomBytes(20*testUnit)
		r.put(t, "key", old)
		s := r.session(t, "key", -1)
		r.part(t, s, 1, next)
		complete := func() error { _, err := r.CompleteSession(context.Background(), all(s)); return err }
		return scene{complete, func(t *testing.T) {
			shows(r, "key", old)(t)
			require.NoError(t, complete(), "the session is as it was")
			shows(r, "key", next)(t)
		}, shows(r, "key", next)}
	},
	"delete": func(t *testing.T, r *rig) scene {
		body := randomBytes(600)
		f := r.put(t, "key", body)
		return scene{
			func() error { return r.Delete(context.Background(), f.ID, store.Change{}) },
			shows(r, "key", body), func(t *testing.T) { r.invisible(t, "key") },
		}
	},
	"rename": func(t *testing.T, r *rig) scene {
		body, there := randomBytes(600), randomBytes(500)
		f := r.put(t, "from", body)
		r.put(t, "key", there)
		return scene{
			func() error {
				_, err := r.Rename(context.Background(), f.ID, store.DefaultBucket, "key", store.Change{})
				return err
			},
			func(t *testing.T) { shows(r, "from", body)(t); shows(r, "key", there)(t) },
			func(t *testing.T) { r.invisible(t, "from"); shows(r, "key", body)(t) },
		}
	},
}

func overwrite(t *testing.T, r *rig, size int) scene {
	old, next := randomBytes(size-1), randomBytes(size)
	r.put(t, "key", old)
	return scene{
		func() error { _, err := r.Put(context.Background(), request("key", next)); return err },
		shows(r, "key", old), shows(r, "key", next),
	}
}

// reclaimAll deletes every chunk whose deletion is queued, whether a read could need it or not.
func (r *rig) reclaimAll(t *testing.T) {
	t.Helper()
	r.reclaims(t)
	for {
		tasks, err := r.meta.Claim(context.Background(), store.ClaimQuery{Kind: store.Reclaim, Term: 1, Limit: store.MaxListLimit, Hold: time.Hour})
		require.NoError(t, err)
		if len(tasks) == 0 {
			return
		}
		for _, task := range tasks {
			require.NoError(t, r.nodes.all()[task.Node].Delete(context.Background(), task.Chunk))
		}
		require.NoError(t, r.meta.Finish(context.Background(), tasks))
	}
}

// A change whose answer is lost, and which lands after its request was answered and everything was reclaimed: the old
// or the new version reads whole, never neither.
func TestAChangeThatLandsAfterItsAnswer(t *testing.T) {
	t.Parallel()
	for name, prepare := range scenes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meta := &slow{}
			r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { meta.Metadata = c.Meta; c.Meta = meta }})
			s := prepare(t, r)
			meta.set(true, false, false)
			err := s.change()
			require.ErrorIs(t, err, store.Unavailable, "it was abandoned: that is known")
			require.NotErrorIs(t, err, store.Canceled)
			require.NotEmpty(t, store.HintOf(err))
			landed := meta.land()
			require.Len(t, landed, 1)
			require.ErrorIs(t, landed[0], store.Conflict)
			r.reclaimAll(t)
			s.before(t)
		})
	}
}

func TestAChangeWhoseAnswerIsLostIsASuccess(t *testing.T) {
	t.Parallel()
	for name, prepare := range scenes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meta := &slow{}
			r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { meta.Metadata = c.Meta; c.Meta = meta }})
			s := prepare(t, r)
			meta.set(true, true, false)
			require.NoError(t, s.change())
			meta.set(false, false, false)
			r.reclaimAll(t)
			s.after(t)
		})
	}
}

// While the store does not answer the fence either, the outcome is open: the answer says so, nothing is reclaimed, and what
// happened or not is found out later.
func TestAChangeWhoseOutcomeIsOpen(t *testing.T) {
	t.Parallel()
	for name, prepare := range scenes {
		for _, first := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					meta := &slow{}
					r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { meta.Metadata = c.Meta; c.Meta = meta }})
					s := prepare(t, r)
					meta.set(true, first, true)
					err := s.change()
					require.ErrorIs(t, err, store.OutcomeUnknown)
					require.NotEmpty(t, store.HintOf(err))
					meta.set(false, first, false)
					time.Sleep(time.Minute) // the fence is tried again in the background
					synctest.Wait()
					for _, err := range meta.land() {
						require.ErrorIs(t, err, store.Conflict)
					}
					r.reclaimAll(t)
					if first {
						s.after(t)
					} else {
						s.before(t)
					}
				})
			})
		}
	}
}

// What a refused upload left on nodes is queued as soon as the store answers, however long that takes.
func TestWhatAFailedUploadLeftIsQueuedWhenTheStoreIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		meta := &slow{}
		r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { meta.Metadata = c.Meta; c.Meta = meta }})
		q := request("key", randomBytes(100))
		q.Bucket = "nowhere"
		_, err := r.Put(context.Background(), q)
		require.ErrorIs(t, err, store.NotFound)
		require.Zero(t, r.nodes.stored(t), "it is refused before a byte is sent")

		require.NoError(t, r.CreateBucket(context.Background(), store.Bucket{Name: "nowhere"}, ""))
		q.Body, q.Verify = bytes.NewReader(randomBytes(100)), func(engine.Sums) error { return r.meta.DeleteBucket(context.Background(), "nowhere", "") }
		meta.set(false, false, true)
		_, err = r.Put(context.Background(), q)
		require.ErrorIs(t, err, store.NotFound)
		time.Sleep(time.Minute)
		require.Zero(t, r.depth(t, store.Reclaim), "the store does not answer")
		meta.set(false, false, false)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, r.nodes.stored(t), r.depth(t, store.Reclaim))
		require.Positive(t, r.nodes.stored(t))
	})
}

// A request whose caller has left before the change is not started.
func TestNothingIsStartedForACallerThatLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	body := randomBytes(100)
	f := r.put(t, "key", body)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, r.Delete(gone, f.ID, store.Change{}), store.Canceled)
	_, err := r.Rename(gone, f.ID, store.DefaultBucket, "other", store.Change{})
	require.ErrorIs(t, err, store.Canceled)
	shows(r, "key", body)(t)
}
