package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// TestWhatGoesInComesOut puts bodies of any length and reads back all of it and any range.
func TestWhatGoesInComesOut(t *testing.T) {
	t.Parallel()
	for nodes := 1; nodes <= 9; nodes += 2 {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{nodes: nodes})
			rapid.Check(t, func(rt *rapid.T) {
				body := randomBytes(rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(300, 2000), rapid.Just(6*testUnit*3)).Draw(rt, "size"))
				req := request("key", body)
				if rapid.Bool().Draw(rt, "size unknown") {
					req.Size = -1
				}
				f, err := r.Put(context.Background(), req)
				require.NoError(rt, err)
				require.EqualValues(rt, len(body), f.Size)
				require.Equal(rt, crc64nvme.Checksum(body), f.CRC64)
				o, err := r.OpenLatest(context.Background(), store.DefaultBucket, "key")
				require.NoError(rt, err)
				require.Equal(rt, f.ID, o.File().ID)
				off := rapid.IntRange(0, len(body)).Draw(rt, "off")
				n := rapid.IntRange(0, len(body)-off).Draw(rt, "n")
				require.True(rt, bytes.Equal(body[off:off+n], r.read(t, o, int64(off), int64(n))))
				require.True(rt, bytes.Equal(body, r.read(t, o, 0, int64(len(body)))))
			})
		})
	}
}

// TestEveryChoiceOfFailuresIsSurvived takes away every pair of six nodes.
func TestEveryChoiceOfFailuresIsSurvived(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 5000} {
		r := newRig(t, options{nodes: 6})
		body := randomBytes(size)
		f := r.put(t, "key", body)
		members := r.nodes.View().Members
		all := r.nodes.all()
		for i := range members {
			for j := range i {
				for n, m := range members {
					if n == i || n == j {
						all[m.ID].SetHook(mem.Fail(store.Errorf(store.Unavailable, "off")))
					}
				}
				require.Equal(t, body, r.get(t, f.ID), "nodes %d and %d off", i, j)
				for _, m := range members {
					all[m.ID].SetHook(nil)
					r.nodes.change(m.ID, func(m *cluster.Member) { m.Status = cluster.Online })
				}
			}
		}
	}
}

func TestLayoutFollowsSizeAndNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	small := r.put(t, "small", randomBytes(testUnit)).Parts[0]
	require.Equal(t, [3]int{1, 2, 3}, [3]int{small.K, small.M, len(nodesOf(store.File{Parts: []store.Part{small}}))})
	large := r.put(t, "large", randomBytes(testUnit+1)).Parts[0]
	require.Equal(t, [3]int{6, 4, 6}, [3]int{large.K, large.M, len(nodesOf(store.File{Parts: []store.Part{large}}))})
	require.Empty(t, r.put(t, "empty", nil).Parts)
}

func TestSHA256OnRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 3})
	body := randomBytes(1000)
	req := request("key", body)
	req.WantSHA256 = true
	f, err := r.Put(context.Background(), req)
	require.NoError(t, err)
	want := sha256.Sum256(body)
	require.Equal(t, want[:], f.SHA256)
}

// A node that fails under a write costs its chunks, not the write.
func TestNodeFailingMidStreamIsAcknowledgedAndQueuedForRepair(t *testing.T) {
	t.Parallel()
	for _, op := range []mem.Op{mem.OpCreate, mem.OpAppend, mem.OpCommit} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{nodes: 6})
			bad := r.nodes.View().Members[0].ID
			r.nodes.all()[bad].SetHook(func(_ context.Context, c mem.Call) error {
				if c.Op == op && (op != mem.OpAppend || c.Unit >= 2) {
					return store.Errorf(store.Unavailable, "cable pulled")
				}
				return nil
			})
			body := randomBytes(5000)
			f := r.put(t, "key", body)
			lost := int64(0)
			for _, c := range f.Parts[0].Chunks {
				require.NotEqual(t, bad, c.Node)
				if c.Node.IsZero() {
					lost++
				}
			}
			require.Positive(t, lost)
			require.Equal(t, lost, r.depth(t, store.Repair))
			require.Equal(t, body, r.get(t, f.ID))
		})
	}
}

func TestTooManyFailuresAreRefusedAndLeaveNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	for _, m := range r.nodes.View().Members[:3] {
		r.nodes.all()[m.ID].SetHook(mem.Fail(store.Errorf(store.Unavailable, "off"), mem.OpCommit))
	}
	for _, size := range []int{5000, 20 << 20} {
		_, err := r.Put(context.Background(), request("key", randomBytes(size)))
		require.ErrorIs(t, err, store.NoQuorum)
		require.NotEmpty(t, store.HintOf(err))
		for _, m := range r.nodes.View().Members {
			r.nodes.change(m.ID, func(m *cluster.Member) { m.Status = cluster.Online })
		}
	}
	r.Close()
	r.invisible(t, "key")
	require.Positive(t, r.reclaims(t), "what was durable already is reclaimed")
	page, err := r.ListFiles(context.Background(), store.FileQuery{State: store.Failed, Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Files, 1, "the large one was written down, and says that it failed")
}

func TestStalledNodeDoesNotHoldAWrite(t *testing.T) {
	t.Parallel()
	for _, op := range []mem.Op{mem.OpCreate, mem.OpAppend, mem.OpCommit} {
		for _, size := range []int{20, 5000} {
			t.Run(fmt.Sprintf("%s %d", op, size), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, options{nodes: 6, late: lateFloor, config: func(c *engine.Config) {
					c.Stall, c.SyncStall = 50*time.Millisecond, 50*time.Millisecond
				}})
				never := make(chan struct{})
				body := randomBytes(size)
				r.put(t, "probe", body)
				for _, m := range r.nodes.View().Members[:1] {
					r.nodes.all()[m.ID].SetHook(mem.Stall(never, op))
				}
				f := r.put(t, "key", body)
				r.nodes.hook(nil)
				require.Equal(t, body, r.get(t, f.ID))
			})
		}
	}
}

func TestSmallCopyGoesToTheNextNodeWhenOneFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	for _, m := range r.nodes.View().Members[:3] {
		r.nodes.all()[m.ID].SetHook(mem.Fail(store.Errorf(store.Unavailable, "off")))
	}
	f := r.put(t, "key", []byte("hello"))
	require.Len(t, nodesOf(f), 3, "three copies on the three nodes that are left")
	require.Zero(t, r.depth(t, store.Repair))
}

func TestClientGoneHalfWayLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{-1, 4000} {
		r := newRig(t, options{nodes: 6})
		req := request("key", nil)
		req.Size, req.Body = size, broken(randomBytes(3000))
		_, err := r.Put(context.Background(), req)
		require.ErrorIs(t, err, store.Canceled)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		r.Close()
		r.invisible(t, "key")
		require.Zero(t, r.nodes.stored(t))
	}
}

func TestCanceledRequestLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	ctx, cancel := context.WithCancel(context.Background())
	req := request("key", nil)
	given := 0
	req.Size = -1
	req.Body = readerFunc(func(p []byte) (int, error) {
		if given++; given > 3 {
			cancel()
			return 0, ctx.Err()
		}
		return len(p), nil
	})
	_, err := r.Put(ctx, req)
	require.Error(t, err)
	require.Equal(t, store.Canceled, store.KindOf(err))
	r.Close()
	r.invisible(t, "key")
	require.Zero(t, r.nodes.stored(t))
}

func TestWhatVerifySaysStands(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 20, 5000} {
		r := newRig(t, options{nodes: 6})
		body := randomBytes(size)
		req := request("key", body)
		wrong := store.Errorf(store.Invalid, "checksum differs")
		req.Verify = func(s engine.Sums) error {
			require.Equal(t, crc64nvme.Checksum(body), s.CRC64)
			require.EqualValues(t, size, s.Size)
			return wrong
		}
		_, err := r.Put(context.Background(), req)
		require.ErrorIs(t, err, wrong)
		r.Close()
		r.invisible(t, "key")
		require.Zero(t, r.nodes.stored(t))
	}
}

func TestLengthsThatDoNotMatchAreInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	for _, announced := range []int64{0, 1, 999, 1001, 4000} {
		req := request("key", randomBytes(1000))
		req.Size = announced
		_, err := r.Put(context.Background(), req)
		require.ErrorIs(t, err, store.Invalid, "%d announced", announced)
	}
	r.invisible(t, "key")
}

func TestFilesOverTheLimitAreTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.MaxFileSize = 1000 }})
	req := request("key", randomBytes(1001))
	req.Body = readerFunc(func([]byte) (int, error) { panic("read although it was announced too large") })
	_, err := r.Put(context.Background(), req)
	require.ErrorIs(t, err, store.TooLarge)
	req = request("key", randomBytes(1001))
	req.Size = -1
	_, err = r.Put(context.Background(), req)
	require.ErrorIs(t, err, store.TooLarge)
	r.put(t, "fits", randomBytes(1000))
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	for name, c := range map[string]struct {
		bucket store.BucketName
		key    store.Key
		kind   store.Kind
	}{
		"bucket unknown":   {"nobody", "k", store.NotFound},
		"bucket malformed": {"No", "k", store.Invalid},
		"key empty":        {"default", "", store.Invalid},
		"key with NUL":     {"default", "a\x00b", store.Invalid},
		"key not UTF-8":    {"default", "a\xff", store.Invalid},
		"key too long":     {"default", store.Key(bytes.Repeat([]byte("k"), 1025)), store.Invalid},
	} {
		req := request("x", []byte("y"))
		req.Bucket, req.Key = c.bucket, c.key
		_, err := r.Put(context.Background(), req)
		require.ErrorIs(t, err, c.kind, name)
	}
	require.Zero(t, r.nodes.stored(t))
}

func TestNoNodesIsUnavailableAndFullNodesAreNoSpace(t *testing.T) {
	t.Parallel()
	none := newRig(t, options{})
	_, err := none.Put(context.Background(), request("key", []byte("x")))
	require.ErrorIs(t, err, store.Unavailable)

	full := newRig(t, options{nodes: 3})
	for _, m := range full.nodes.View().Members {
		full.nodes.change(m.ID, func(m *cluster.Member) { m.Capacity.Free = 0 })
	}
	_, err = full.Put(context.Background(), request("key", []byte("x")))
	require.ErrorIs(t, err, store.NoSpace)

	// Nodes that turn out to be full only when they are written to.
	for _, size := range []int{10, 5000} {
		late := newRig(t, options{nodes: 6})
		for _, c := range late.nodes.all() {
			c.SetLimit(1)
		}
		_, err = late.Put(context.Background(), request("key", randomBytes(size)))
		require.ErrorIs(t, err, store.NoSpace)
		late.invisible(t, "key")
	}
}

func TestOverwriteShowsTheNewAndReclaimsTheOld(t *testing.T) {
	t.Parallel()
	kicked := atomic.Int64{}
	r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.WakeReclaim = func() { kicked.Add(1) } }})
	old := r.put(t, "key", randomBytes(1000))
	now := r.put(t, "key", []byte("new"))
	require.Equal(t, "new", string(r.get(t, now.ID)))
	_, err := r.Open(context.Background(), old.ID)
	require.ErrorIs(t, err, store.NotFound)
	require.EqualValues(t, len(old.Parts[0].Chunks), r.reclaims(t))
	require.EqualValues(t, 1, kicked.Load())
}

func TestDeleteReclaims(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	f := r.put(t, "key", randomBytes(1000))
	require.NoError(t, r.Delete(context.Background(), f.ID, store.Change{}))
	require.ErrorIs(t, r.Delete(context.Background(), f.ID, store.Change{}), store.NotFound)
	r.invisible(t, "key")
	require.EqualValues(t, len(f.Parts[0].Chunks), r.reclaims(t))
}

// TestManyUploadsShareOneBudget has 500 clients that are all slow, under memory for a few.
func TestManyUploadsShareOneBudget(t *testing.T) {
	t.Parallel()
	const budget = 64 << 10
	r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.WriteBudget = budget; c.CopyBelow = 1 }})
	var over atomic.Bool
	var wg sync.WaitGroup
	body := randomBytes(6*testUnit*4 + 7)
	for i := range 500 {
		wg.Go(func() {
			req := request(fmt.Sprint("key-", i), nil)
			rest := bytes.NewReader(body)
			req.Size = -1
			req.Body = readerFunc(func(p []byte) (int, error) {
				if used, _ := r.WriteMemory(); used > budget {
					over.Store(true)
				}
				return rest.Read(p[:min(len(p), 100)])
			})
			if _, err := r.Put(context.Background(), req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.False(t, over.Load(), "the budget held")
	page, err := r.ListObjects(context.Background(), store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 1000})
	require.NoError(t, err)
	require.Len(t, page.Entries, 500)
}

func TestUploadingFilesCanBeAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	req := request("key", nil)
	req.Size = -1
	body := bytes.NewReader(randomBytes(5000))
	req.Body = readerFunc(func(p []byte) (int, error) {
		if body.Len() < 3000 {
			once.Do(func() { close(reached); <-release })
		}
		return body.Read(p[:min(len(p), 64)])
	})
	done := make(chan error, 1)
	go func() { _, err := r.Put(context.Background(), req); done <- err }()
	<-reached
	page, err := r.ListFiles(context.Background(), store.FileQuery{State: store.Uploading, Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Files, 1)
	id := page.Files[0].ID
	_, err = r.Open(context.Background(), id)
	require.ErrorIs(t, err, store.Conflict, "not readable yet")
	d, err := r.Describe(context.Background(), id)
	require.NoError(t, err)
	require.Equal(t, -1, d.Survives)
	close(release)
	require.NoError(t, <-done)
	require.Len(t, r.get(t, id), 5000)
}

func TestErrorsOfTheBodyKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	malformed := store.Errorf(store.Invalid, "multipart boundary is missing")
	req := request("key", nil)
	req.Size, req.Body = -1, readerFunc(func([]byte) (int, error) { return 0, malformed })
	_, err := r.Put(context.Background(), req)
	require.True(t, errors.Is(err, malformed))
}

// A client of S3 must not take the entity tag for the MD5 of the content, or of its parts.
func TestEntityTagsAreNotTakenForAnMD5(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 3})
	put := r.put(t, "a", []byte("body"))
	s, err := r.CreateSession(t.Context(), engine.SessionRequest{Bucket: store.DefaultBucket, Key: "b", Size: -1})
	require.NoError(t, err)
	_, err = r.PutPart(t.Context(), engine.PartRequest{Session: s.ID, Number: 1, Size: 4, Body: bytes.NewReader([]byte("body"))})
	require.NoError(t, err)
	completed, err := r.CompleteSession(t.Context(), engine.CompleteRequest{Session: s.ID, Size: -1})
	require.NoError(t, err)
	for _, f := range []store.File{put, completed} {
		require.Regexp(t, `^[0-9a-f]{32}-0$`, f.ETag)
	}
	require.NotEqual(t, put.ETag, completed.ETag)
}
