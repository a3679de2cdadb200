package engine_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

func sessionRequest(key string, size int64) engine.SessionRequest {
	return engine.SessionRequest{
		Bucket: store.DefaultBucket, Key: store.Key(key), Size: size, ContentType: "text/plain",
		Meta: map[string]string{"mtime": "2026-11-23T10:00:00Z"}, Caller: "key",
	}
}

func (r *rig) session(t testing.TB, key string, size int64) store.Session {
	t.Helper()
	s, err := r.CreateSession(context.Background(), sessionRequest(key, size))
	require.NoError(t, err)
	return s
}

func (r *rig) part(t testing.TB, s store.Session, number int, body []byte) store.SessionPart {
	t.Helper()
	p, err := r.PutPart(context.Background(), partRequest(s, number, body))
	require.NoError(t, err)
	return p
}

func partRequest(s store.Session, number int, body []byte) engine.PartRequest {
	return engine.PartRequest{Session: s.ID, Number: number, Size: int64(len(body)), Body: bytes.NewReader(body)}
}

func all(s store.Session) engine.CompleteRequest {
	return engine.CompleteRequest{Session: s.ID, Size: -1}
}

func crcOf(b []byte) *uint64 {
	crc := crc64nvme.Checksum(b)
	return &crc
}

// Parts of every size that the layouts tell apart, in any order and at once, make the file.
func TestSession_PartsInAnyOrderMakeTheFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	sizes := []int{1, testUnit, testUnit + 1, 6 * testUnit, 6*testUnit + 1, 5000, 40, 3}
	var whole []byte
	parts := make([][]byte, len(sizes))
	for i, n := range sizes {
		parts[i] = randomBytes(n)
		whole = append(whole, parts[i]...)
	}
	s := r.session(t, "k", int64(len(whole)))
	require.Equal(t, "key", s.Owner)
	var wg sync.WaitGroup
	for _, i := range rand.Perm(len(parts)) {
		wg.Go(func() {
			p, err := r.PutPart(context.Background(), partRequest(s, 10*(i+1), parts[i]))
			if err != nil || p.CRC64 != crc64nvme.Checksum(parts[i]) {
				t.Errorf("part %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	r.invisible(t, "k")

	seen, err := r.Session(context.Background(), s.ID)
	require.NoError(t, err)
	require.Equal(t, int64(len(whole)), seen.Received)
	require.Len(t, seen.Parts, len(parts))

	f, err := r.CompleteSession(context.Background(), engine.CompleteRequest{Session: s.ID, Size: int64(len(whole)), CRC64: crcOf(whole)})
	require.NoError(t, err)
	require.Equal(t, s.ID, f.ID)
	require.Equal(t, *crcOf(whole), f.CRC64)
	require.Equal(t, "text/plain", f.ContentType)
	require.Equal(t, "2026-11-23T10:00:00Z", f.Meta["mtime"])
	require.Equal(t, whole, r.get(t, f.ID))
	o, err := r.OpenLatest(context.Background(), store.DefaultBucket, "k")
	require.NoError(t, err)
	for off := 0; off < len(whole); off += 97 {
		n := min(1500, len(whole)-off)
		require.Equal(t, whole[off:off+n], r.read(t, o, int64(off), int64(n)))
	}
	again, err := r.CompleteSession(context.Background(), all(s))
	require.NoError(t, err, "a lost answer can be asked for again")
	require.Equal(t, f.ID, again.ID)
	_, err = r.CompleteSession(context.Background(), engine.CompleteRequest{Session: s.ID, Size: 1})
	require.ErrorIs(t, err, store.Conflict, "but not for another content")
	_, err = r.Session(context.Background(), s.ID)
	require.ErrorIs(t, err, store.NotFound)
	_, err = r.PutPart(context.Background(), partRequest(s, 1, parts[0]))
	require.ErrorIs(t, err, store.NotFound)
}

func TestSession_ReplacedPartsAreReclaimed(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "k", -1)
	r.part(t, s, 1, randomBytes(5000))
	require.Zero(t, r.reclaims(t))
	body := randomBytes(3000)
	r.part(t, s, 1, body)
	require.Equal(t, int64(10), r.reclaims(t), "6+4 chunks of the part that was replaced")
	r.part(t, s, 2, randomBytes(10))
	f, err := r.CompleteSession(context.Background(), engine.CompleteRequest{Session: s.ID, Size: 3000, Parts: []engine.PartRef{{Number: 1, CRC64: crcOf(body)}}})
	require.NoError(t, err)
	require.Equal(t, body, r.get(t, f.ID))
	require.Equal(t, int64(13), r.reclaims(t), "and the 3 copies of the part that was not taken")
}

// Who appends does not take the place of what is there.
func TestSession_Append(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "k", -1)
	body := randomBytes(5000)
	q := partRequest(s, 1, body)
	q.Append = true
	_, err := r.PutPart(context.Background(), q)
	require.NoError(t, err)
	q = partRequest(s, 1, randomBytes(3000))
	q.Append = true
	_, err = r.PutPart(context.Background(), q)
	require.ErrorIs(t, err, store.Conflict)
	r.Close()
	require.Equal(t, int64(10), r.reclaims(t), "the chunks of the one that came late")
	f, err := r.CompleteSession(context.Background(), all(s))
	require.NoError(t, err)
	require.Equal(t, body, r.get(t, f.ID))
}

func TestSession_AbortReclaimsEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "k", -1)
	r.part(t, s, 1, randomBytes(5000))
	r.part(t, s, 2, randomBytes(10))
	require.NoError(t, r.AbortSession(context.Background(), store.SessionChange{Session: s.ID}))
	require.Equal(t, int64(13), r.reclaims(t))
	require.ErrorIs(t, r.AbortSession(context.Background(), store.SessionChange{Session: s.ID}), store.NotFound)
	_, err := r.CompleteSession(context.Background(), all(s))
	require.ErrorIs(t, err, store.NotFound)
	_, err = r.PutPart(context.Background(), partRequest(s, 3, randomBytes(5000)))
	require.ErrorIs(t, err, store.NotFound)
	require.NotEmpty(t, store.HintOf(err))
}

// A part that is in progress when its session ends leaves nothing behind.
func TestSession_AbortedUnderAPart(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "k", -1)
	body := randomBytes(5000)
	_, err := r.PutPart(context.Background(), engine.PartRequest{
		Session: s.ID, Number: 1, Size: -1, Body: bytes.NewReader(body),
		Verify: func(engine.Sums) error {
			return r.AbortSession(context.Background(), store.SessionChange{Session: s.ID})
		},
	})
	require.ErrorIs(t, err, store.NotFound)
	r.Close()
	require.Equal(t, int64(10), r.reclaims(t))
}

func TestSession_OpenOnesAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.SessionLimits = store.SessionLimits{PerOwner: 1, PerBucket: 2} }})
	create := func(caller string) (store.Session, error) {
		q := sessionRequest("k", -1)
		q.Caller = caller
		return r.CreateSession(t.Context(), q)
	}
	first, err := create("one")
	require.NoError(t, err)
	_, err = create("one")
	require.ErrorIs(t, err, store.Unavailable)
	require.Contains(t, err.Error(), "access key one has 1 open sessions")
	_, err = create("two")
	require.NoError(t, err)
	_, err = create("three")
	require.ErrorIs(t, err, store.Unavailable)
	require.Contains(t, err.Error(), "bucket "+first.Bucket.String()+" has 2 open sessions")
	require.NoError(t, r.AbortSession(t.Context(), store.SessionChange{Session: first.ID}))
	_, err = create("one")
	require.NoError(t, err)
}

func TestSession_WhatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6, config: func(c *engine.Config) { c.MaxPartSize, c.MaxSessionFile = 6000, 9000 }})
	ctx := context.Background()
	for name, change := range map[string]func(*engine.SessionRequest){
		"bucket name": func(s *engine.SessionRequest) { s.Bucket = "A" },
		"key":         func(s *engine.SessionRequest) { s.Key = "" },
		"size":        func(s *engine.SessionRequest) { s.Size = -2 },
	} {
		q := sessionRequest("k", -1)
		change(&q)
		_, err := r.CreateSession(ctx, q)
		require.ErrorIs(t, err, store.Invalid, name)
	}
	q := sessionRequest("k", 9001)
	_, err := r.CreateSession(ctx, q)
	require.ErrorIs(t, err, store.TooLarge)
	require.Equal(t, "file_size", store.LimitOf(err))
	q = sessionRequest("k", 1)
	q.Bucket = "nowhere"
	_, err = r.CreateSession(ctx, q)
	require.ErrorIs(t, err, store.NotFound)

	body := randomBytes(5000)
	s := r.session(t, "k", 5000)
	for number, kind := range map[int]store.Kind{0: store.Invalid, store.MaxParts + 1: store.Invalid} {
		_, err := r.PutPart(ctx, partRequest(s, number, body))
		require.ErrorIs(t, err, kind)
	}
	_, err = r.PutPart(ctx, partRequest(s, 1, nil))
	require.ErrorIs(t, err, store.Invalid, "no bytes")
	_, err = r.PutPart(ctx, partRequest(s, 1, randomBytes(6001)))
	require.ErrorIs(t, err, store.TooLarge)
	_, err = r.PutPart(ctx, engine.PartRequest{Session: s.ID, Number: 1, Size: -1, Body: bytes.NewReader(randomBytes(6001))})
	require.ErrorIs(t, err, store.TooLarge)
	_, err = r.PutPart(ctx, engine.PartRequest{Session: s.ID, Number: 1, Size: 5000, Body: broken(body[:4000])})
	require.ErrorIs(t, err, store.Canceled)
	_, err = r.PutPart(ctx, engine.PartRequest{Session: s.ID, Number: 1, Size: 5000, Body: bytes.NewReader(body), Verify: func(engine.Sums) error { return io.ErrNoProgress }})
	require.ErrorIs(t, err, io.ErrNoProgress)
	seen, err := r.Session(ctx, s.ID)
	require.NoError(t, err)
	require.Empty(t, seen.Parts, "nothing of all this is in the session")

	r.part(t, s, 1, body[:2000])
	r.part(t, s, 3, body[2000:4999])
	complete := func(change func(*engine.CompleteRequest)) error {
		q := all(s)
		change(&q)
		_, err := r.CompleteSession(ctx, q)
		return err
	}
	require.ErrorIs(t, complete(func(*engine.CompleteRequest) {}), store.Invalid, "one byte less than announced")
	r.part(t, s, 3, body[2000:])
	refs := func(numbers ...int) (refs []engine.PartRef) {
		for _, n := range numbers {
			refs = append(refs, engine.PartRef{Number: n})
		}
		return refs
	}
	require.ErrorIs(t, complete(func(q *engine.CompleteRequest) { q.Parts = refs(1, 2, 3) }), store.Conflict, "part 2 has not arrived")
	require.ErrorIs(t, complete(func(q *engine.CompleteRequest) { q.Parts = refs(3, 1) }), store.Invalid, "order")
	require.ErrorIs(t, complete(func(q *engine.CompleteRequest) { q.Parts = []engine.PartRef{{Number: 1, CRC64: crcOf(nil)}} }), store.Conflict, "another part")
	require.ErrorIs(t, complete(func(q *engine.CompleteRequest) { q.Size = 4999 }), store.Invalid)
	require.ErrorIs(t, complete(func(q *engine.CompleteRequest) { q.CRC64 = crcOf(nil) }), store.Corrupt)
	require.ErrorIs(t, complete(func(q *engine.CompleteRequest) { q.MinPartSize = 2001 }), store.Invalid, "part 1 is too small")
	r.invisible(t, "k")
	require.NoError(t, complete(func(q *engine.CompleteRequest) { q.MinPartSize, q.CRC64, q.Size = 2000, crcOf(body), 5000 }))
	require.Equal(t, body, r.get(t, s.ID))

	large := r.session(t, "large", -1)
	r.part(t, large, 1, randomBytes(5000))
	r.part(t, large, 2, randomBytes(5000))
	_, err = r.CompleteSession(ctx, all(large))
	require.ErrorIs(t, err, store.TooLarge)
}

// What the session was begun with binds its end.
func TestSession_AnnouncedChecksum(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	body := randomBytes(1000)
	q := sessionRequest("k", -1)
	q.CRC64 = crcOf(body)
	s, err := r.CreateSession(context.Background(), q)
	require.NoError(t, err)
	r.part(t, s, 1, body[:999])
	_, err = r.CompleteSession(context.Background(), all(s))
	require.ErrorIs(t, err, store.Corrupt)
	r.part(t, s, 2, body[999:])
	_, err = r.CompleteSession(context.Background(), all(s))
	require.NoError(t, err)
}

func TestSession_WithoutBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "empty", 0)
	f, err := r.CompleteSession(context.Background(), all(s))
	require.NoError(t, err)
	require.Zero(t, f.Size)
	require.Empty(t, r.get(t, f.ID))
}

// Nodes that fail under a part cost its chunks, which are queued for repair when it is saved.
func TestSession_NodesFailUnderAPart(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "k", -1)
	body := randomBytes(5000)
	down := r.nodes.View().Members[2].ID
	r.nodes.all()[down].SetHook(func(context.Context, mem.Call) error { return store.Errorf(store.Unavailable, "away") })
	p := r.part(t, s, 1, body)
	require.Len(t, p.Chunks, 10)
	require.NotZero(t, r.depth(t, store.Repair), "a part of a session is cared for as one of a file")
	f, err := r.CompleteSession(context.Background(), all(s))
	require.NoError(t, err)
	require.Equal(t, body, r.get(t, f.ID))
}

func TestSession_Concatenate(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	a, b := r.session(t, "a", 4000), r.session(t, "b", -1)
	body := randomBytes(9000)
	r.part(t, a, 1, body[:1000])
	r.part(t, a, 7, body[1000:4000])
	r.part(t, b, 2, body[4000:])
	q := sessionRequest("whole", int64(len(body)))
	q.CRC64 = crcOf(nil)
	_, err := r.Concatenate(context.Background(), q, []store.FileID{a.ID, b.ID})
	require.ErrorIs(t, err, store.Corrupt)
	q.CRC64 = crcOf(body)
	f, err := r.Concatenate(context.Background(), q, []store.FileID{a.ID, b.ID})
	require.NoError(t, err)
	require.Equal(t, body, r.get(t, f.ID))
	for _, s := range []store.Session{a, b} {
		_, err := r.Session(context.Background(), s.ID)
		require.ErrorIs(t, err, store.NotFound)
		r.invisible(t, string(s.Key))
	}
	_, err = r.Concatenate(context.Background(), q, []store.FileID{a.ID})
	require.ErrorIs(t, err, store.NotFound)
}

func TestSession_CopyPart(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	body := randomBytes(9000)
	src := r.put(t, "src", body)
	s := r.session(t, "dst", int64(len(body)))
	copyPart := func(number int, off, n int64) error {
		_, err := r.CopyPart(context.Background(), engine.CopyPartRequest{Session: s.ID, Number: number, Source: src.ID, Offset: off, Length: n})
		return err
	}
	require.ErrorIs(t, copyPart(1, 8999, 2), store.OutOfRange)
	require.ErrorIs(t, copyPart(1, 9001, -1), store.OutOfRange)
	require.NoError(t, copyPart(1, 0, 4321))
	require.NoError(t, copyPart(2, 4321, -1))
	f, err := r.CompleteSession(context.Background(), engine.CompleteRequest{Session: s.ID, Size: -1, CRC64: &src.CRC64})
	require.NoError(t, err)
	require.Equal(t, body, r.get(t, f.ID))
	_, err = r.CopyPart(context.Background(), engine.CopyPartRequest{Session: s.ID, Number: 1, Source: store.NewFileID(), Length: -1})
	require.ErrorIs(t, err, store.NotFound)
}

func TestCopy(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	require.NoError(t, r.CreateBucket(context.Background(), store.Bucket{Name: "other", Survive: 1}, ""))
	for _, size := range []int{0, 10, 5000} {
		body := randomBytes(size)
		q := request("src", body)
		q.WantSHA256, q.Meta = true, map[string]string{"a": "b"}
		src, err := r.Put(context.Background(), q)
		require.NoError(t, err)
		f, err := r.Copy(context.Background(), src.ID, "other", "dst", store.Change{Caller: "key"})
		require.NoError(t, err)
		require.NotEqual(t, src.ID, f.ID)
		require.Equal(t, src.SHA256, f.SHA256)
		require.Equal(t, src.Meta, f.Meta)
		require.Equal(t, string(body), string(r.get(t, f.ID)))
		require.Equal(t, string(body), string(r.get(t, src.ID)))
	}
	_, err := r.Copy(context.Background(), store.NewFileID(), "other", "dst", store.Change{Caller: "key"})
	require.ErrorIs(t, err, store.NotFound)
	src := r.put(t, "src", randomBytes(50000))
	_, err = r.Copy(context.Background(), src.ID, "nowhere", "dst", store.Change{Caller: "key"})
	require.ErrorIs(t, err, store.NotFound)
}

func TestRename(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	body := randomBytes(5000)
	f := r.put(t, "a", body)
	r.put(t, "b", randomBytes(10))
	moved, err := r.Rename(context.Background(), f.ID, store.DefaultBucket, "b", store.Change{})
	require.NoError(t, err)
	require.Equal(t, f.ID, moved.ID)
	require.Equal(t, store.Key("b"), moved.Key)
	r.invisible(t, "a")
	require.Equal(t, body, r.get(t, f.ID))
	require.Equal(t, int64(3), r.reclaims(t), "the copies of what b was")
	_, err = r.Rename(context.Background(), f.ID, store.DefaultBucket, "", store.Change{})
	require.ErrorIs(t, err, store.Invalid)
	_, err = r.Rename(context.Background(), store.NewFileID(), store.DefaultBucket, "c", store.Change{})
	require.ErrorIs(t, err, store.NotFound)
}

// Any two of six nodes may be off for a file of many parts.
func TestSession_ReadsWithoutTwoNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{nodes: 6})
	s := r.session(t, "k", -1)
	body := randomBytes(20000)
	for i := range 10 {
		r.part(t, s, i+1, body[i*2000:(i+1)*2000])
	}
	f, err := r.CompleteSession(context.Background(), all(s))
	require.NoError(t, err)
	members := r.nodes.View().Members
	for i := range members {
		for j := range i {
			for k, m := range members {
				r.nodes.change(m.ID, func(m *cluster.Member) {
					m.Status = cluster.Online
					if k == i || k == j {
						m.Status = cluster.Inactive
					}
				})
			}
			require.Equal(t, body, r.get(t, f.ID))
		}
	}
}
