package chaos

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const bucket = "default"

// workload writes and reads a bounded set of keys through all gateways, and records every answer.
type workload struct {
	h    *history
	apis []*api
	away func(gateway int) bool // the gateway is known to be unreachable now

	locks map[string]*sync.Mutex // one for each key, so that it has one writer at a time
	keys  []string
	next  atomic.Uint64 // the last version

	mu      sync.Mutex // guards what follows
	ids     map[string]version
	counts  map[string]int
	open    []*openSession
	inHand  map[*claim]int // writes in progress, and their gateway
	failed  []failedWrite  // writes whose gateway may still have to queue their chunks for reclaim
	cutKeys map[string]int // for each key, how many writes their gateway had in progress when it was killed
	kills   int            // of gateways; each may have cut off one segment of the metadata log
}

// failedWrite is a write that was not acknowledged. Its gateway updates the metadata in the background as soon as possible.
type failedWrite struct {
	key     string
	gateway int
	at      time.Time
}

// cleanUp bounds that delay: it is longer than any failure of the database and the wait for its end.
const cleanUp = 30 * time.Second

// openSession is an upload whose parts are all acknowledged and that is completed only after the storm.
type openSession struct {
	id, key string
	version version
	parts   int
}

func newWorkload(h *history, apis []*api, keys int) *workload {
	w := &workload{
		h: h, apis: apis, away: func(int) bool { return false }, locks: map[string]*sync.Mutex{}, ids: map[string]version{},
		counts: map[string]int{}, inHand: map[*claim]int{}, cutKeys: map[string]int{},
	}
	for i := range keys {
		key := fmt.Sprintf("storm/%d/key-%02d", i%3, i)
		w.keys, w.locks[key] = append(w.keys, key), &sync.Mutex{}
	}
	return w
}

// run makes requests until ctx ends, and waits for the answers of those in progress.
func (w *workload) run(ctx context.Context, seed uint64, workers int) {
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)+1))
			for ctx.Err() == nil {
				w.step(context.WithoutCancel(ctx), rng)
			}
		})
	}
	wg.Wait()
}

// step makes one random request.
func (w *workload) step(ctx context.Context, rng *rand.Rand) {
	gateway := rng.IntN(len(w.apis))
	if w.away(gateway) && rng.IntN(10) > 0 {
		gateway = (gateway + 1) % len(w.apis)
	}
	key := w.keys[rng.IntN(len(w.keys))]
	if rng.IntN(10) < 4 {
		w.read(ctx, gateway, key)
		return
	}
	if !w.locks[key].TryLock() {
		return
	}
	defer w.locks[key].Unlock()
	switch n := rng.IntN(100); {
	case n < 45:
		w.put(ctx, gateway, key, smallSize(rng))
	case n < 60:
		w.put(ctx, gateway, key, 256<<10+rng.Int64N(2<<20))
	case n < 62:
		w.put(ctx, gateway, key, 17<<20+rng.Int64N(1<<20)) // a larger put is recorded before it ends
	case n < 72:
		w.delete(ctx, gateway, key)
	case n < 82:
		w.relocate(ctx, gateway, key, rng, w.rename)
	case n < 88:
		w.relocate(ctx, gateway, key, rng, w.copy)
	case n < 96:
		w.session(ctx, gateway, key, rng)
	default:
		w.tus(ctx, gateway, key, rng)
	}
}

func smallSize(rng *rand.Rand) int64 {
	if rng.IntN(2) == 0 {
		return smallest + rng.Int64N(4<<10)
	}
	return smallest + rng.Int64N(200<<10)
}

// newVersion returns a version that no write has used before.
func (w *workload) newVersion(size int64) version {
	v := version(w.next.Add(1))
	w.h.remember(v, size)
	return v
}

func (w *workload) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// summary returns how often each kind of request happened.
func (w *workload) summary() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]int{}
	for what, n := range w.counts {
		all[what] = n
	}
	return all
}

// begin and end surround a write.
func (w *workload) begin(gateway int, key string, v version, ifCurrent bool, what string) *claim {
	c := w.h.begin(key, v, ifCurrent, fmt.Sprintf("%s by gateway %d of", what, gateway+1))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inHand[c] = gateway
	return c
}

func (w *workload) end(what string, err error, claims ...*claim) outcome {
	o := outcomeOf(err)
	switch o {
	case done:
		w.h.acknowledged(claims...)
		w.count(what)
	case refused:
		w.h.refused(err.Error(), claims...)
		w.count(what + " refused")
	case open:
		if what == "rename" {
			w.h.moved(err.Error(), claims[0], claims[1])
		} else {
			w.h.unknown(err.Error(), claims...)
		}
		w.count(what + " unknown")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range claims {
		if o != done {
			w.failed = append(w.failed, failedWrite{c.key, w.inHand[c], time.Now()})
		}
		delete(w.inHand, c)
	}
	return o
}

// killed records which writes a gateway had in progress when it was killed: only these may leave chunks without metadata.
func (w *workload) killed(gateway int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kills++
	for c, g := range w.inHand {
		if g == gateway {
			w.cutKeys[c.key]++
		}
	}
	w.failed = slices.DeleteFunc(w.failed, func(f failedWrite) bool {
		recent := time.Since(f.at) < cleanUp
		if recent && f.gateway == gateway {
			w.cutKeys[f.key]++
		}
		return !recent || f.gateway == gateway
	})
}

// carry runs a call that stores a part of an unfinished upload. It changes no object, so the history does not have it, but a gateway that is
// killed meanwhile may leave chunks without metadata: those of a part of few bytes become known only when the part is saved.
func (w *workload) carry(gateway int, key string, call func() error) error {
	c := &claim{key: key}
	w.mu.Lock()
	w.inHand[c] = gateway
	w.mu.Unlock()
	err := call()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failed = append(w.failed, failedWrite{key, gateway, time.Now()})
	}
	delete(w.inHand, c)
	return err
}

func (w *workload) know(id string, v version) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids[id] = v
}

func (w *workload) versionOf(id string) (version, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.ids[id]
	return v, ok
}

func (w *workload) put(ctx context.Context, gateway int, key string, size int64) {
	v := w.newVersion(size)
	c := w.begin(gateway, key, v, false, "put")
	f, err := w.apis[gateway].put(ctx, bucket, key, v, size)
	if w.end("put", err, c) == done {
		w.know(f.ID, v)
	}
}

func (w *workload) delete(ctx context.Context, gateway int, key string) {
	id, err := w.apis[gateway].latest(ctx, bucket, key)
	if err != nil || id == "" {
		return
	}
	c := w.begin(gateway, key, absent, true, "delete")
	w.end("delete", w.apis[gateway].delete(ctx, id), c)
}

// relocate runs a rename or copy of key to another key, if the present version of both is certain.
func (w *workload) relocate(ctx context.Context, gateway int, key string, rng *rand.Rand, do func(ctx context.Context, gateway int, id, from, to string, v version)) {
	to := w.keys[rng.IntN(len(w.keys))]
	if to == key || !w.locks[to].TryLock() {
		return
	}
	defer w.locks[to].Unlock()
	v, certain := w.h.onlyVersion(key)
	if _, other := w.h.onlyVersion(to); !certain || !other || v == absent {
		return
	}
	id, err := w.apis[gateway].latest(ctx, bucket, key)
	if err != nil || id == "" {
		return
	}
	if known, ok := w.versionOf(id); !ok || known != v {
		return
	}
	do(ctx, gateway, id, key, to, v)
}

func (w *workload) rename(ctx context.Context, gateway int, id, from, to string, v version) {
	a := w.begin(gateway, from, absent, true, "rename away")
	b := w.begin(gateway, to, v, false, "rename from "+from)
	w.end("rename", w.apis[gateway].rename(ctx, id, bucket, to), a, b)
}

func (w *workload) copy(ctx context.Context, gateway int, id, from, to string, v version) {
	c := w.begin(gateway, to, v, false, "copy of "+from)
	f, err := w.apis[gateway].copy(ctx, id, bucket, to)
	if w.end("copy", err, c) == done {
		w.know(f.ID, v)
	}
}

// read looks up a key and reads the file found. The look-up determines which version it must be.
func (w *workload) read(ctx context.Context, gateway int, key string) {
	const tries = 3
	for range tries {
		began := time.Now()
		id, err := w.apis[gateway].latest(ctx, bucket, key)
		ended := time.Now()
		if err != nil {
			w.count("look-up failed")
			return
		}
		if id == "" {
			w.h.read(key, absent, began, ended)
			w.count("read: absent")
			return
		}
		v, err := w.apis[gateway].get(ctx, id, w.h.size)
		switch {
		case errors.Is(err, errGone):
			continue // replaced or deleted since
		case errors.Is(err, errMixed):
			w.h.fail(key, "file %s: %v", id, err)
			return
		case isStatus(err, http.StatusInternalServerError):
			// A file that cannot be read now is a 503, one that no longer exists a 404.
			w.h.fail(key, "file %s: %v", id, err)
			return
		case err != nil:
			w.count("read failed: " + statusOf(err))
			return
		}
		if known, ok := w.versionOf(id); ok && known != v {
			w.h.fail(key, "file %s was acknowledged as %v and reads as %v", id, known, v)
		}
		w.know(id, v)
		w.h.read(key, v, began, ended)
		w.count("read")
		return
	}
	w.count("read: replaced three times")
}

func statusOf(err error) string {
	var p *problem
	if errors.As(err, &p) {
		return fmt.Sprint(p.Status, " ", p.Code)
	}
	return "broken"
}

// session uploads in parts; one in six stays open until the storm ends, one in six is aborted.
func (w *workload) session(ctx context.Context, gateway int, key string, rng *rand.Rand) {
	const part = 1 << 20
	n := 1 + rng.IntN(3)
	size := int64(n-1)*part + smallest + rng.Int64N(part)
	v := w.newVersion(size)
	var s fileInfo
	err := w.apis[gateway].json(ctx, http.MethodPost, "/sessions", nil, map[string]any{"bucket": bucket, "name": key, "size": size}, &s)
	if err != nil {
		w.count("session refused")
		return
	}
	for i := range n {
		if !w.part(ctx, rng, key, s.SessionID, i+1, v, int64(i)*part, min(size, int64(i+1)*part)) {
			w.count("session left")
			return
		}
	}
	switch rng.IntN(6) {
	case 0:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open = append(w.open, &openSession{s.SessionID, key, v, n})
	case 1:
		if w.apis[gateway].json(ctx, http.MethodDelete, "/sessions/"+s.SessionID, nil, nil, nil) == nil {
			w.count("session aborted")
		}
	default:
		w.complete(ctx, gateway, &openSession{s.SessionID, key, v, n})
	}
}

// part sends a part until it is acknowledged, at most three times, to any gateway; some with other bytes first.
func (w *workload) part(ctx context.Context, rng *rand.Rand, key, session string, number int, v version, from, end int64) bool {
	path := fmt.Sprintf("/sessions/%s/parts/%d", session, number)
	for try := range 3 {
		gateway := rng.IntN(len(w.apis))
		if try == 0 && rng.IntN(5) == 0 {
			_ = w.carry(gateway, key, func() error {
				_, err := w.apis[gateway].call(ctx, http.MethodPut, path, nil, binaryBody, contentFrom(v+1<<40, 0, end-from), end-from, nil)
				return err
			})
		}
		err := w.carry(gateway, key, func() error {
			_, err := w.apis[gateway].call(ctx, http.MethodPut, path, nil, binaryBody, contentFrom(v, from, end), end-from, nil)
			return err
		})
		if err == nil {
			w.count("part")
			return true
		}
	}
	return false
}

// complete completes a session whose parts were all acknowledged.
func (w *workload) complete(ctx context.Context, gateway int, s *openSession) outcome {
	c := w.begin(gateway, s.key, s.version, false, "session")
	var f fileInfo
	err := w.apis[gateway].json(ctx, http.MethodPost, "/sessions/"+s.id+"/complete", nil, map[string]any{}, &f)
	if isStatus(err, http.StatusConflict) {
		w.count("session to be sent again")
	}
	o := w.end("session", err, c)
	if o == done {
		w.know(f.ID, s.version)
	}
	return o
}

// tus uploads by the tus protocol in one or two requests. The last one makes the file visible.
func (w *workload) tus(ctx context.Context, gateway int, key string, rng *rand.Rand) {
	a := w.apis[gateway]
	size := 1<<10 + rng.Int64N(300<<10)
	v := w.newVersion(size)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	header, err := a.call(ctx, http.MethodPost, "/tus", nil, map[string]string{
		"Tus-Resumable": "1.0.0", "Upload-Length": fmt.Sprint(size), "Upload-Metadata": "bucket " + b64(bucket) + ",filename " + b64(key),
	}, nil, 0, nil)
	if err != nil {
		w.count("tus refused")
		return
	}
	location, err := url.Parse(header.Get("Location"))
	if err != nil || !strings.Contains(location.Path, "tus/") {
		w.h.fail(key, "tus upload without a usable Location: %q", header.Get("Location"))
		return
	}
	path := "/tus/" + location.Path[strings.LastIndexByte(location.Path, '/')+1:]
	at := int64(0)
	if rng.IntN(2) == 0 {
		at = size / 2
		if err := w.carry(gateway, key, func() error { return w.patch(ctx, a, path, v, 0, at) }); err != nil {
			w.count("tus left")
			return
		}
	}
	c := w.begin(gateway, key, v, false, "tus")
	w.end("tus", w.patch(ctx, a, path, v, at, size), c)
}

func (w *workload) patch(ctx context.Context, a *api, path string, v version, from, end int64) error {
	_, err := a.call(ctx, http.MethodPatch, path, nil, map[string]string{
		"Tus-Resumable": "1.0.0", "Upload-Offset": fmt.Sprint(from), "Content-Type": "application/offset+octet-stream",
	}, contentFrom(v, from, end), end-from, nil)
	return err
}
