package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

// large is the size in bytes of a file that is sent in five parts.
const (
	large     = 33 << 20
	largePart = 8 << 20
)

// resumable is a rig with a state folder; it records the notes for the user.
func resumable(t *testing.T) (*resttest.Server, *transfer.Manager, *resumeMeter, *notes) {
	t.Helper()
	s, m, _ := rig(t)
	meter, told := &resumeMeter{}, &notes{}
	m.Meter, m.State, m.Lanes, m.Note = meter, t.TempDir(), transfer.NewLanes(2), told.add
	m.Sizes = transfer.Sizes{Whole: largePart, Least: largePart, Most: largePart}
	return s, m, meter, told
}

type resumeMeter struct {
	meter
	resumed atomic.Int64
}

func (m *resumeMeter) Resumed(n int64) { m.resumed.Add(n) }

type notes struct {
	mu   sync.Mutex
	text []string
}

func (n *notes) add(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, text)
}

func (n *notes) all() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.text, "\n")
}

// states lists the log files.
func states(t *testing.T, m *transfer.Manager) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(m.State, "uploads", "*"))
	require.NoError(t, err)
	return paths
}

// isPart reports whether a request uploads a part.
func isPart(r *http.Request) bool { return r.Method == http.MethodPut }

// partsSent counts the uploaded parts.
func partsSent(s *resttest.Server, into *atomic.Int64, then resttest.Hook) {
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if isPart(r) {
			into.Add(1)
		}
		return then != nil && then(w, r)
	})
}

// runs numbers the clients made by another.
var runs atomic.Int64

// another returns the manager of another process. Its requests can be distinguished from those of earlier processes,
// which the server may still be handling.
func another(t *testing.T, s *resttest.Server, m *transfer.Manager) (own *transfer.Manager, agent string) {
	t.Helper()
	agent = fmt.Sprint("run ", runs.Add(1))
	c := client.New(client.Config{Profile: s.Profile(), Agent: agent})
	t.Cleanup(c.Close)
	copied := *m
	copied.Client = c
	return &copied, agent
}

// interruptPut runs a put that is canceled when the part with the number starts.
func interruptPut(t *testing.T, s *resttest.Server, m *transfer.Manager, path string, number int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m, agent := another(t, s, m)
	var handling sync.RWMutex // the server may still store a part of a disconnected client
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !isPart(r) {
			return false
		}
		handling.RLock()
		defer handling.RUnlock()
		if r.UserAgent() == agent && strings.HasSuffix(r.URL.Path, fmt.Sprint("/", number)) {
			cancel()
			_, _ = io.Copy(io.Discard, r.Body) // until the client disconnects
			return true
		}
		s.ServeHTTP(w, r)
		return true
	})
	_, err := m.PutFile(ctx, path, to("k"))
	s.SetHook(nil)
	handling.Lock()
	defer handling.Unlock()
	require.Equal(t, fault.Interrupted, fault.ExitOf(err), "%v", err)
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, fault.HintOf(err), "run the same command again")
}

func stored(t *testing.T, s *resttest.Server, want []byte) {
	t.Helper()
	got, ok := s.Data("default", "k")
	require.True(t, ok)
	require.True(t, got == string(want), "the bytes differ")
	require.Empty(t, s.Sessions())
}

func TestLargePut_GoesInParts(t *testing.T) {
	t.Parallel()
	s, m, moved, _ := resumable(t)
	path, data := writeFile(t, large)
	at := time.Date(2024, 2, 29, 1, 2, 3, 456789, time.UTC)
	require.NoError(t, os.Chtimes(path, at, at))
	var parts atomic.Int64
	partsSent(s, &parts, nil)
	f, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	require.EqualValues(t, 5, parts.Load())
	require.EqualValues(t, large, moved.Load())
	require.Equal(t, "text/plain; charset=utf-8", f.ContentType)
	require.Equal(t, "2024-02-29T01:02:03.000456789Z", f.Meta["mtime"])
	require.Empty(t, states(t, m))
}

func TestLargePut_ResumedSendsOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	s, m, moved, told := resumable(t)
	path, data := writeFile(t, large)
	interruptPut(t, s, m, path, 4)
	require.Len(t, states(t, m), 1)
	before := moved.Load()
	var parts atomic.Int64
	m, agent := another(t, s, m)
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPart(r) && r.UserAgent() == agent { // the server may handle a part of the first run only now
			parts.Add(1)
		}
		return false
	})
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	there := moved.resumed.Load() // a part of the disconnected client may still have been stored
	require.GreaterOrEqual(t, there, int64(2*largePart))
	require.EqualValues(t, large-there, moved.Load()-before)
	require.EqualValues(t, (large-there+largePart-1)/largePart, parts.Load())
	require.Contains(t, told.all(), "resuming, "+fmt.Sprintf("%d MiB of 33 MiB have arrived already", there>>20))
	require.Empty(t, states(t, m))
}

// A log that was cut off has fewer parts than the server; those are read again here, not sent.
func TestLargePut_ResumedFromATornRecord(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	path, data := writeFile(t, large)
	interruptPut(t, s, m, path, 5)
	there := s.Sessions()[0].Received
	state := states(t, m)[0]
	record, err := os.ReadFile(state)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(state, record[:len(record)-7], 0o600))
	var parts atomic.Int64
	partsSent(s, &parts, nil)
	_, err = m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	require.LessOrEqual(t, parts.Load(), (large-there+largePart-1)/largePart)
}

func TestLargePut_StartsAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between func(t *testing.T, s *resttest.Server, path, state string)
		told    string
	}{
		"the file has changed": {func(t *testing.T, _ *resttest.Server, path, _ string) {
			require.NoError(t, appendTo(path, "more"))
		}, "has changed since"},
		"the file was put in its place": {func(t *testing.T, _ *resttest.Server, path, _ string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			data[0]++
			require.NoError(t, os.WriteFile(path+"2", data, 0o600))
			require.NoError(t, os.Chtimes(path+"2", info.ModTime(), info.ModTime()))
			require.NoError(t, os.Rename(path+"2", path))
		}, "has changed since"},
		"the session has expired": {func(_ *testing.T, s *resttest.Server, _, _ string) { s.Expire() }, "the session of the earlier upload no longer exists"},
		"the record is garbled": {func(t *testing.T, _ *resttest.Server, _, state string) {
			require.NoError(t, os.WriteFile(state, []byte("{\x00garbage\n"), 0o600))
		}, "cannot be read"},
		"the record is empty": {func(t *testing.T, _ *resttest.Server, _, state string) {
			require.NoError(t, os.WriteFile(state, nil, 0o600))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m, _, told := resumable(t)
			path, _ := writeFile(t, large)
			interruptPut(t, s, m, path, 3)
			c.between(t, s, path, states(t, m)[0])
			var parts atomic.Int64
			partsSent(s, &parts, nil)
			_, err := m.PutFile(t.Context(), path, to("k"))
			require.NoError(t, err)
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			got, _ := s.Data("default", "k")
			require.True(t, got == string(data))
			require.GreaterOrEqual(t, parts.Load(), int64(5), "all of them")
			require.Contains(t, told.all(), c.told)
			require.Empty(t, states(t, m))
		})
	}
}

func TestLargePut_ARecordOfANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	path, _ := writeFile(t, large)
	interruptPut(t, s, m, path, 3)
	state := states(t, m)[0]
	record, err := os.ReadFile(state)
	require.NoError(t, err)
	record = bytes.Replace(record, []byte(`"version":2`), []byte(`"version":3`), 1)
	require.NoError(t, os.WriteFile(state, record, 0o600))
	_, err = m.PutFile(t.Context(), path, to("k"))
	require.Equal(t, fault.Conflict, fault.ExitOf(err))
	require.ErrorContains(t, err, "newer s3ctl")
	require.ErrorContains(t, err, state)
	require.Contains(t, fault.HintOf(err), "remove the file")
	after, err := os.ReadFile(state)
	require.NoError(t, err)
	require.Equal(t, string(record), string(after))
	require.Len(t, s.Sessions(), 1)
}

// The server completed the upload, but the client ended before it received the answer.
func TestLargePut_CompletedBefore(t *testing.T) {
	t.Parallel()
	s, m, moved, told := resumable(t)
	path, data := writeFile(t, large)
	ctx, cancel := context.WithCancel(t.Context())
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/complete") {
			s.SetHook(nil)
			s.ServeHTTP(httpDiscard{}, r)
			cancel()
			<-r.Context().Done()
			return true
		}
		return false
	})
	_, err := m.PutFile(ctx, path, to("k"))
	require.Equal(t, fault.Interrupted, fault.ExitOf(err))
	stored(t, s, data)
	require.Len(t, states(t, m), 1)
	before := moved.Load()
	f, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	require.EqualValues(t, large, f.Size)
	require.Equal(t, before, moved.Load())
	require.Contains(t, told.all(), "an earlier run had already completed this upload")
	require.Empty(t, states(t, m))
}

type httpDiscard struct{}

func (httpDiscard) Header() http.Header         { return http.Header{} }
func (httpDiscard) Write(p []byte) (int, error) { return len(p), nil }
func (httpDiscard) WriteHeader(int)             {}

func TestLargePut_ChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"grew":   func(path string) error { return appendTo(path, "more") },
		"shrank": func(path string) error { return os.Truncate(path, 10<<20) },
		"was written to": func(path string) error {
			later := time.Now().Add(time.Hour)
			return os.Chtimes(path, later, later)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m, _, _ := resumable(t)
			s.Add("default", "k", "as before")
			path, _ := writeFile(t, large)
			var once sync.Once
			s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
				if isPart(r) {
					once.Do(func() {
						if err := change(path); err != nil {
							t.Error(err)
						}
					})
				}
				return false
			})
			_, err := m.PutFile(t.Context(), path, to("k"))
			require.ErrorContains(t, err, "the file changed while it was sent")
			require.Equal(t, fault.Conflict, fault.ExitOf(err))
			got, _ := s.Data("default", "k")
			require.Equal(t, "as before", got)
			require.Empty(t, s.Sessions(), "nothing is left to go on with")
			require.Empty(t, states(t, m))
		})
	}
}

func TestLargePut_SessionEndsMeanwhile(t *testing.T) {
	t.Parallel()
	s, m, _, told := resumable(t)
	path, data := writeFile(t, large)
	var once sync.Once
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPart(r) && strings.HasSuffix(r.URL.Path, "/3") {
			once.Do(s.Expire)
		}
		return false
	})
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	require.Contains(t, told.all(), "session no longer exists; starting from the beginning")
}

func TestLargePut_DamagedPartsAreSentAgainThenNamed(t *testing.T) {
	t.Parallel()
	s, m, moved, _ := resumable(t)
	path, data := writeFile(t, large)
	var once sync.Once
	s.MangleParts(func(p rest.SessionPart) rest.SessionPart {
		once.Do(func() { p.CRC64NVME = "AAAAAAAAAAA=" })
		return p
	})
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	require.EqualValues(t, large, moved.Load(), "what was sent in vain is taken back")

	s.MangleParts(func(p rest.SessionPart) rest.SessionPart {
		if p.Number == 2 {
			p.CRC64NVME = "AAAAAAAAAAA="
		}
		return p
	})
	_, err = m.PutFile(t.Context(), path, to("k"))
	require.Equal(t, fault.Corrupt, fault.ExitOf(err))
	require.ErrorContains(t, err, "as part 2")
}

func TestLargePut_TwoAtOnce(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	path, _ := writeFile(t, large)
	ctx, cancel := context.WithCancel(t.Context())
	var second error
	var once sync.Once
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPart(r) {
			once.Do(func() {
				_, second = m.PutFile(t.Context(), path, to("k"))
				cancel()
			})
		}
		return false
	})
	_, err := m.PutFile(ctx, path, to("k"))
	require.Equal(t, fault.Interrupted, fault.ExitOf(err))
	require.Equal(t, fault.Conflict, fault.ExitOf(second))
	require.ErrorContains(t, second, "another s3ctl")
}

// With random failures and restarts, the bytes arrive, and no interruption costs more than one part for each
// stream.
func TestLargePut_AnyTroubleInTheEndArrives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s, m, _, _ := resumable(t)
			path, data := writeFile(t, large)
			var rng lockedRand
			rng.r = rand.New(rand.NewPCG(seed, 0))
			var parts, trouble atomic.Int64
			for run := 0; ; run++ {
				ctx, cancel := context.WithCancel(t.Context())
				partsSent(s, &parts, func(w http.ResponseWriter, r *http.Request) bool {
					if run > 12 || rng.IntN(4) > 0 {
						return false
					}
					trouble.Add(1)
					switch rng.IntN(4) {
					case 0:
						resttest.Refuse(w, 503, rest.CodeUnavailable, "busy", "")
					case 1:
						cancel()
						_, _ = io.Copy(io.Discard, r.Body)
					case 2:
						_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
						panic(http.ErrAbortHandler) // the connection is reset
					default:
						s.ServeHTTP(httpDiscard{}, r) // the request is handled, and the answer is lost
						panic(http.ErrAbortHandler)
					}
					return true
				})
				_, err := m.PutFile(ctx, path, to("k"))
				cancel()
				if err == nil {
					break
				}
				require.Contains(t, []fault.Exit{fault.Interrupted, fault.Unavailable}, fault.ExitOf(err), "%v", err)
			}
			got, _ := s.Data("default", "k")
			require.True(t, got == string(data))
			require.LessOrEqual(t, parts.Load(), 5+2*trouble.Load())
			require.Empty(t, states(t, m))
		})
	}
}

type lockedRand struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (l *lockedRand) IntN(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.IntN(n)
}

func TestLargeStream(t *testing.T) {
	t.Parallel()
	s, m, moved, _ := resumable(t)
	_, data := writeFile(t, 40<<20)
	var tries atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if isPart(r) && tries.Add(1) == 2 {
			resttest.Refuse(w, 503, rest.CodeUnavailable, "busy", "")
			return true
		}
		return false
	})
	f, err := m.PutStream(t.Context(), bytes.NewReader(data), to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	require.EqualValues(t, len(data), f.Size)
	require.EqualValues(t, len(data), moved.Load())
	require.EqualValues(t, 4, tries.Load(), "three parts, one of them twice")

	s.SetHook(nil)
	_, err = m.PutStream(t.Context(), io.MultiReader(bytes.NewReader(data), errReader{io.ErrNoProgress}), to("broken"))
	require.ErrorIs(t, err, io.ErrNoProgress)
	require.Empty(t, s.Sessions())
	require.Equal(t, []string{"k"}, s.Names("default"))
}

func TestLargeGet_ComesInRanges(t *testing.T) {
	t.Parallel()
	s, m, moved, _ := resumable(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	f.Meta = map[string]string{"mtime": "2024-02-29T01:02:03.000456789Z"}
	require.NoError(t, m.GetFile(t.Context(), f, root, filepath.Join("a", "f")))
	same(t, filepath.Join(dir, "a", "f"), data)
	require.Equal(t, []string{filepath.Join("a", "f")}, tree(t, dir))
	require.Equal(t, 5, s.Calls("GET /files/"+f.FileID))
	require.EqualValues(t, large, moved.Load())
	info, err := os.Stat(filepath.Join(dir, "a", "f"))
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(time.Date(2024, 2, 29, 1, 2, 3, 456789, time.UTC)))
}

func same(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the bytes differ")
}

// interruptGet runs a get that is canceled when its range n, from 0, starts.
func interruptGet(t *testing.T, s *resttest.Server, m *transfer.Manager, f rest.File, root *os.Root, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m, agent := another(t, s, m)
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.UserAgent() == agent && strings.HasPrefix(r.Header.Get("Range"), fmt.Sprintf("bytes=%d-", n*largePart)) {
			cancel()
			<-r.Context().Done()
			return true
		}
		return false
	})
	err := m.GetFile(ctx, f, root, "f")
	require.Equal(t, fault.Interrupted, fault.ExitOf(err), "%v", err)
	require.Contains(t, fault.HintOf(err), "run the same command again")
	s.SetHook(nil)
}

func TestLargeGet_ResumedFetchesOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	s, m, moved, told := resumable(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	interruptGet(t, s, m, f, root, 3)
	require.Equal(t, []string{".f.part", ".f.part.log"}, tree(t, dir), "nothing shows under the name")
	calls, before := s.Calls("GET /files/"+f.FileID), moved.Load()
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	same(t, filepath.Join(dir, "f"), data)
	require.Equal(t, []string{"f"}, tree(t, dir))
	require.EqualValues(t, large, moved.resumed.Load()+moved.Load()-before)
	require.GreaterOrEqual(t, moved.resumed.Load(), int64(2*largePart))
	require.LessOrEqual(t, s.Calls("GET /files/"+f.FileID)-calls, 3)
	require.Contains(t, told.all(), "resuming")
}

// Bytes on disk may be damaged or may never have reached the disk: they are verified before use.
func TestLargeGet_WhatIsHereIsCheckedFirst(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	interruptGet(t, s, m, f, root, 4)
	part, err := os.OpenFile(filepath.Join(dir, ".f.part"), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = part.WriteAt([]byte{data[100] + 1}, 100)
	require.NoError(t, err)
	require.NoError(t, part.Close())
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	same(t, filepath.Join(dir, "f"), data)
}

func TestLargeGet_StartsAnew(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(t *testing.T, s *resttest.Server, f rest.File, data []byte, dir string) rest.File{
		"replaced on the server": func(_ *testing.T, s *resttest.Server, _ rest.File, data []byte, _ string) rest.File {
			data[0]++
			return s.Add("default", "k", string(data))
		},
		"the record is garbled": func(t *testing.T, _ *resttest.Server, f rest.File, _ []byte, dir string) rest.File {
			require.NoError(t, os.WriteFile(filepath.Join(dir, ".f.part.log"), []byte("nothing\n"), 0o600))
			return f
		},
		"the bytes are gone": func(t *testing.T, _ *resttest.Server, f rest.File, _ []byte, dir string) rest.File {
			require.NoError(t, os.Remove(filepath.Join(dir, ".f.part")))
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m, _, _ := resumable(t)
			root, dir := openRoot(t)
			_, data := writeFile(t, large)
			f := s.Add("default", "k", string(data))
			interruptGet(t, s, m, f, root, 2)
			f = between(t, s, f, data, dir)
			require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
			same(t, filepath.Join(dir, "f"), data)
			require.Equal(t, []string{"f"}, tree(t, dir))
		})
	}
}

func TestLargeGet_Trouble(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))

	wrong := f
	wrong.Checksums.CRC64NVME = "AAAAAAAAAAA="
	err := m.GetFile(t.Context(), wrong, root, "f")
	require.Equal(t, fault.Corrupt, fault.ExitOf(err))
	require.Empty(t, tree(t, dir), "bytes that are wrong are not worth going on with")

	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	require.Equal(t, fault.Conflict, fault.ExitOf(m.GetFile(t.Context(), f, root, "folder")))

	var seen atomic.Int64
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		if seen.Add(1) < 3 {
			return false
		}
		resttest.Refuse(w, 404, rest.CodeNotFound, "no such file", "")
		return true
	})
	err = m.GetFile(t.Context(), f, root, "f")
	require.Equal(t, fault.Conflict, fault.ExitOf(err))
	require.ErrorContains(t, err, "replaced or removed")
	require.Empty(t, tree(t, dir))

	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		resttest.Refuse(w, 503, rest.CodeUnavailable, "away", "")
		return true
	})
	err = m.GetFile(t.Context(), f, root, "f")
	require.Equal(t, fault.Unavailable, fault.ExitOf(err))
	require.Contains(t, fault.HintOf(err), "run the same command again")
	s.SetHook(nil)
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))

	huge := f
	huge.Size = 1 << 60
	require.Error(t, m.GetFile(t.Context(), huge, root, "huge"))
	require.Equal(t, []string{"f"}, tree(t, dir), "nothing of it is left")
}

// While the server makes one part durable, the next is sent, although there is one lane only.
func TestLargePut_DoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	m.Lanes = transfer.NewLanes(2) // one of them at first
	path, data := writeFile(t, large)
	next := make(chan struct{})
	var parts atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !isPart(r) {
			return false
		}
		switch parts.Add(1) {
		case 1:
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return false
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			select {
			case <-next:
			case <-time.After(time.Minute):
				t.Error("the next part waits for the answer to the first")
			}
		case 2:
			close(next)
		}
		return false
	})
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
}
