package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

// tear cuts a log off in the middle of its last line, as a power cut may.
func tear(t *testing.T, record string) {
	t.Helper()
	data, err := os.ReadFile(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(record, data[:len(data)-7], 0o600))
}

// inTurn is a resumable that transfers one part at a time: when it is interrupted, no later part has been
// sent.
func inTurn(t *testing.T) (*resttest.Server, *transfer.Manager, *resumeMeter, *notes) {
	t.Helper()
	s, m, meter, told := resumable(t)
	m.Lanes = transfer.NewLanes(1)
	return s, m, meter, told
}

// A line appended after a torn line does not continue it.
func TestLargePut_InterruptedAgainAfterATornRecord(t *testing.T) {
	t.Parallel()
	s, m, moved, told := inTurn(t)
	path, data := writeFile(t, large)
	interruptPut(t, s, m, path, 3)
	tear(t, states(t, m)[0])
	interruptPut(t, s, m, path, 5)
	before, resumed := moved.Load(), moved.resumed.Load()
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	resumed = moved.resumed.Load() - resumed
	require.GreaterOrEqual(t, resumed, int64(3*largePart), told.all())
	require.EqualValues(t, large-resumed, moved.Load()-before)
	require.NotContains(t, told.all(), "from the beginning")
}

func TestLargeGet_InterruptedAgainAfterATornRecord(t *testing.T) {
	t.Parallel()
	s, m, moved, told := inTurn(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	interruptGet(t, s, m, f, root, 3)
	tear(t, filepath.Join(dir, ".f.part.log"))
	interruptGet(t, s, m, f, root, 4)
	before := moved.resumed.Load()
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	same(t, filepath.Join(dir, "f"), data)
	require.NotContains(t, told.all(), "from the beginning")
	require.GreaterOrEqual(t, moved.resumed.Load()-before, int64(3*largePart))
}

// A range that was found damaged is fetched and recorded again; the later line is valid.
func TestLargeGet_DamagedThenInterruptedAgain(t *testing.T) {
	t.Parallel()
	s, m, moved, _ := inTurn(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	interruptGet(t, s, m, f, root, 3)
	part, err := os.OpenFile(filepath.Join(dir, ".f.part"), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = part.WriteAt([]byte{data[100] + 1}, 100)
	require.NoError(t, err)
	require.NoError(t, part.Truncate(large+1), "somebody appended to it")
	require.NoError(t, part.Close())
	interruptGet(t, s, m, f, root, 4)
	before := moved.resumed.Load()
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	same(t, filepath.Join(dir, "f"), data)
	require.GreaterOrEqual(t, moved.resumed.Load()-before, int64(3*largePart))
}

// Of two processes that fetch the same file, one succeeds; the other fails at once and changes nothing.
func TestLargeGet_TwoAtOnce(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	var second error
	var once sync.Once
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") != "" {
			once.Do(func() { second = m.GetFile(t.Context(), f, root, "f") })
		}
		return false
	})
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	require.Equal(t, fault.Conflict, fault.ExitOf(second))
	require.ErrorContains(t, second, "another s3ctl")
	same(t, filepath.Join(dir, "f"), data)
	require.Equal(t, []string{"f"}, tree(t, dir))
}

// Many processes fetch the same file repeatedly: each that succeeds finds it complete, and none truncates a file
// that another has just renamed into place.
func TestLargeGet_ManyAtOnceLeaveAWholeFile(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				if err := m.GetFile(t.Context(), f, root, "f"); err != nil && fault.ExitOf(err) != fault.Conflict {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	same(t, filepath.Join(dir, "f"), data)
	require.Equal(t, []string{"f"}, tree(t, dir))
}

// An upload succeeds although its log cannot be written.
func TestLargePut_NowhereToRemember(t *testing.T) {
	t.Parallel()
	s, m, _, told := resumable(t)
	path, data := writeFile(t, large)
	m.State = filepath.Join(path, "below", "a", "file")
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	stored(t, s, data)
	require.Contains(t, told.all(), "cannot be resumed")

	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if isPart(r) {
			resttest.Refuse(w, 403, rest.CodeDenied, "no", "")
		}
		return isPart(r)
	})
	_, err = m.PutFile(t.Context(), path, to("k"))
	require.Equal(t, fault.Denied, fault.ExitOf(err))
	require.Empty(t, s.Sessions(), "nobody could go on with it")
}

// An interrupted response is continued at the same offset, since written bytes cannot be taken back.
func TestGetStream_GoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	s, m, moved := rig(t)
	_, data := writeFile(t, 4<<20)
	f := s.Add("default", "k", string(data))
	var ranges []string
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		ranges = append(ranges, r.Header.Get("Range"))
		switch n := len(ranges); {
		case n == 1:
			w.Header().Set("Content-Length", fmt.Sprint(f.Size))
			_, _ = w.Write(data[:3<<20])
			panic(http.ErrAbortHandler)
		case n <= 6: // more often than it is tried without progress, and once in between with
			if n == 4 {
				w.Header().Set("Content-Length", fmt.Sprint(f.Size-3<<20))
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 3<<20, f.Size-1, f.Size))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(data[3<<20 : 3<<20+1000])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			resttest.Refuse(w, 503, rest.CodeUnavailable, "away", "")
			return true
		}
		return false
	})
	var out bytes.Buffer
	require.NoError(t, m.GetStream(t.Context(), f, &out))
	require.True(t, bytes.Equal(data, out.Bytes()))
	require.EqualValues(t, f.Size, moved.Load())
	require.Empty(t, ranges[0])
	require.True(t, strings.HasPrefix(ranges[len(ranges)-1], "bytes=31"), ranges)
}

func TestGetStream_WhatIsWrongIsFinal(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	_, data := writeFile(t, 1<<20)
	f := s.Add("default", "k", string(data))
	calls := 0
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		calls++
		if calls > 1 {
			resttest.Refuse(w, 404, rest.CodeNotFound, "no such file", "")
			return true
		}
		w.Header().Set("Content-Length", fmt.Sprint(f.Size))
		_, _ = w.Write(data[:1000])
		panic(http.ErrAbortHandler)
	})
	var out bytes.Buffer
	require.Equal(t, fault.NotFound, fault.ExitOf(m.GetStream(t.Context(), f, &out)))
	require.Equal(t, 2, calls)

	s.SetHook(nil)
	broken := errors.New("pipe broken")
	require.ErrorIs(t, m.GetStream(t.Context(), f, failing{broken}), broken)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Bytes that the server timed out on are sent again: the client did not cancel.
func TestPut_TheServerGaveUpWaiting(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	failTimes(s, "POST", 2, http.StatusRequestTimeout, rest.CodeCanceled)
	path, data := writeFile(t, 2<<20)
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.NoError(t, err)
	got, _ := s.Data("default", "k")
	require.True(t, got == string(data))
}
