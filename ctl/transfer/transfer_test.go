package transfer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// meter adds up the bytes.
type meter struct{ atomic.Int64 }

func (m *meter) Moved(n int64)   { m.Add(n) }
func (m *meter) Resumed(n int64) { m.Add(n) }

// fast retries with short pauses.
func fast() retry.Policy { return retry.Policy{Wait: time.Minute, Tries: 4, Initial: 1, Max: 1} }

func rig(t *testing.T) (*resttest.Server, *transfer.Manager, *meter) {
	t.Helper()
	s := resttest.New(t)
	c := client.New(client.Config{Profile: s.Profile()})
	t.Cleanup(c.Close)
	m := &meter{}
	return s, &transfer.Manager{Client: c, Meter: m, Retry: fast()}, m
}

func to(key string) address.Remote { return address.Remote{Bucket: "default", Key: key} }

func writeFile(t *testing.T, size int) (path string, data []byte) {
	t.Helper()
	data = make([]byte, size)
	_, _ = rand.Read(data)
	path = filepath.Join(t.TempDir(), "file.txt")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path, data
}

// failTimes answers the first n requests of a method with a problem.
func failTimes(s *resttest.Server, method string, n int, status int, code rest.ProblemCode) *atomic.Int64 {
	var seen atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || seen.Add(1) > int64(n) {
			return false
		}
		resttest.Refuse(w, status, code, "not now", "")
		return true
	})
	return &seen
}

func TestPutFile_ArrivesAsItIs(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			s, m, moved := rig(t)
			path, data := writeFile(t, size)
			f, err := m.PutFile(t.Context(), path, to("k"))
			require.NoError(t, err)
			got, ok := s.Data("default", "k")
			require.True(t, ok)
			require.True(t, got == string(data))
			require.EqualValues(t, size, f.Size)
			require.EqualValues(t, size, moved.Load())
			require.Equal(t, "text/plain; charset=utf-8", f.ContentType)
		})
	}
}

func TestPutFile_TriedAgainUntilItWorks(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 3 << 20} {
		s, m, moved := rig(t)
		seen := failTimes(s, "POST", 3, 503, rest.CodeUnavailable)
		var notes []string
		m.Retry.Notify = func(e retry.Event) {
			if e.Err != nil {
				notes = append(notes, e.Err.Error())
			}
		}
		path, data := writeFile(t, size)
		_, err := m.PutFile(t.Context(), path, to("k"))
		require.NoError(t, err)
		require.EqualValues(t, 4, seen.Load())
		require.Equal(t, []string{"not now", "not now", "not now"}, notes)
		require.EqualValues(t, size, moved.Load(), "what was sent in vain is taken back")
		got, _ := s.Data("default", "k")
		require.True(t, got == string(data))
	}
}

func TestPutFile_GivenUpAfterAllTries(t *testing.T) {
	t.Parallel()
	s, m, moved := rig(t)
	seen := failTimes(s, "POST", 100, 503, rest.CodeNoQuorum)
	path, _ := writeFile(t, 2<<20)
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.EqualError(t, err, "not now")
	require.Equal(t, fault.Unavailable, fault.ExitOf(err))
	require.EqualValues(t, 4, seen.Load())
	require.Zero(t, moved.Load())
}

func TestPutFile_WhatCannotPassIsTriedOnce(t *testing.T) {
	t.Parallel()
	for code, status := range map[rest.ProblemCode]int{rest.CodeDenied: 403, rest.CodeTooLarge: 413, rest.CodeNoSpace: 507, rest.CodeInvalid: 400, rest.CodeInternal: 500} {
		s, m, _ := rig(t)
		seen := failTimes(s, "POST", 100, status, code)
		path, _ := writeFile(t, 10)
		_, err := m.PutFile(t.Context(), path, to("k"))
		require.Equal(t, string(code), fault.KindOf(err).String())
		require.EqualValues(t, 1, seen.Load())
	}
}

func TestPutFile_AWrongChecksumIsRemovedAndNamed(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	s.Mangle(func(f rest.File) rest.File { f.Checksums.CRC64NVME = "AAAAAAAAAAA="; return f })
	path, _ := writeFile(t, 2<<20)
	_, err := m.PutFile(t.Context(), path, to("k"))
	require.Equal(t, fault.Corrupt, fault.ExitOf(err))
	require.Empty(t, s.Names("default"), "a file that is not ours must not stay under our name")

	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "DELETE" {
			resttest.Refuse(w, 500, rest.CodeInternal, "cannot", "")
		}
		return r.Method == "DELETE"
	})
	_, err = m.PutFile(t.Context(), path, to("k"))
	require.Contains(t, fault.HintOf(err), "s3ctl rm s3://default/k")
}

func TestPutFile_LocalTroubleIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	_, err := m.PutFile(t.Context(), filepath.Join(t.TempDir(), "absent"), to("k"))
	require.Equal(t, fault.NotFound, fault.ExitOf(err))
	_, err = m.PutFile(t.Context(), t.TempDir(), to("k"))
	require.Error(t, err)
	require.Zero(t, s.Calls("POST /files"))
}

// The file grows or shrinks after its first bytes were read: the stored object is unchanged.
func TestPutFile_ChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"grew":   func(path string) error { return appendTo(path, "more") },
		"shrank": func(path string) error { return os.Truncate(path, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m, _ := rig(t)
			s.Add("default", "k", "as before")
			path, _ := writeFile(t, 8<<20)
			var once sync.Once
			s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == "POST" {
					once.Do(func() {
						buf := make([]byte, 1)
						_, _ = io.ReadFull(r.Body, buf)
						r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(buf), r.Body))
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
		})
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func TestPutStream(t *testing.T) {
	t.Parallel()
	s, m, moved := rig(t)
	_, data := writeFile(t, 3<<20)
	f, err := m.PutStream(t.Context(), bytes.NewReader(data), to("k"))
	require.NoError(t, err)
	got, _ := s.Data("default", "k")
	require.True(t, got == string(data))
	require.EqualValues(t, len(data), moved.Load())
	require.Equal(t, "application/octet-stream", f.ContentType)

	m.ContentType = "text/x"
	f, err = m.PutStream(t.Context(), strings.NewReader(""), to("empty"))
	require.NoError(t, err)
	require.Zero(t, f.Size)
	require.Equal(t, "text/x", f.ContentType)
}

func TestPutStream_TriedAgainFromMemory(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	seen := failTimes(s, "POST", 1, 503, rest.CodeUnavailable)
	_, err := m.PutStream(t.Context(), strings.NewReader("x"), to("k"))
	require.NoError(t, err)
	require.EqualValues(t, 2, seen.Load())
	got, _ := s.Data("default", "k")
	require.Equal(t, "x", got)

	failTimes(s, "POST", 100, 503, rest.CodeUnavailable)
	_, err = m.PutStream(t.Context(), strings.NewReader("x"), to("never"))
	require.Equal(t, fault.Unavailable, fault.ExitOf(err))
	require.Contains(t, fault.HintOf(err), "again")

	s.SetHook(nil)
	broken := errors.New("tape torn")
	_, err = m.PutStream(t.Context(), io.MultiReader(strings.NewReader("half"), errReader{broken}), to("broken"))
	require.ErrorIs(t, err, broken)
	require.Equal(t, []string{"k"}, s.Names("default"))
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestPutStream_CtrlCWhileTheStreamIsSilent(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() }) // ends the reading goroutine, as the end of the process would
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = w.Write([]byte("some"))
		cancel()
	}()
	_, err := m.PutStream(ctx, r, to("k"))
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s.Names("default"))
}

func openRoot(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// tree lists all files below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			files = append(files, rel)
		}
		return err
	}))
	return files
}

func TestGetFile_ArrivesAsItIs(t *testing.T) {
	t.Parallel()
	s, m, moved := rig(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, 3<<20)
	for _, content := range []string{"", "x", string(data)} {
		f := s.Add("default", "k", content)
		before := moved.Load()
		require.NoError(t, m.GetFile(t.Context(), f, root, filepath.Join("a", "b", "f")))
		got, err := os.ReadFile(filepath.Join(dir, "a", "b", "f"))
		require.NoError(t, err)
		require.True(t, content == string(got))
		require.EqualValues(t, len(content), moved.Load()-before)
		require.Equal(t, []string{filepath.Join("a", "b", "f")}, tree(t, dir))
	}
}

func TestGetFile_TriedAgainFromTheStart(t *testing.T) {
	t.Parallel()
	s, m, moved := rig(t)
	root, dir := openRoot(t)
	f := s.Add("default", "k", strings.Repeat("0123456789", 10_000))
	tries := 0
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		tries++
		switch tries {
		case 1:
			w.Header().Set("Content-Length", fmt.Sprint(f.Size))
			_, _ = w.Write(make([]byte, 50_000)) // wrong bytes, then the connection is reset
			return true
		case 2:
			w.Header().Set("Content-Length", fmt.Sprint(f.Size))
			_, _ = w.Write(make([]byte, f.Size)) // wrong bytes only
			return true
		}
		return false
	})
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("0123456789", 10_000), string(got))
	require.Equal(t, 3, tries)
	require.EqualValues(t, f.Size, moved.Load())
}

func TestGetFile_FailureLeavesWhatWasThere(t *testing.T) {
	t.Parallel()
	s, m, moved := rig(t)
	root, dir := openRoot(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("old"), 0o600))
	f := s.Add("default", "k", "new bytes")

	f.Checksums.CRC64NVME = "AAAAAAAAAAA="
	err := m.GetFile(t.Context(), f, root, "f")
	require.Equal(t, fault.Corrupt, fault.ExitOf(err))

	f.FileID = "gone"
	require.Equal(t, fault.NotFound, fault.ExitOf(m.GetFile(t.Context(), f, root, "f")))

	ctx, cancel := context.WithCancel(t.Context())
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	require.ErrorIs(t, m.GetFile(ctx, f, root, "f"), context.Canceled)

	require.Equal(t, []string{"f"}, tree(t, dir), "no temporary file is left")
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
	require.Zero(t, moved.Load())
}

func TestGetFile_LocalTrouble(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	root, dir := openRoot(t)
	f := s.Add("default", "k", "x")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	outside := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))

	require.Equal(t, fault.Conflict, fault.ExitOf(m.GetFile(t.Context(), f, root, "folder")))
	err := m.GetFile(t.Context(), f, root, filepath.Join("file", "x"))
	require.Equal(t, fault.Conflict, fault.ExitOf(err))
	require.Contains(t, fault.HintOf(err), "two keys")
	require.Error(t, m.GetFile(t.Context(), f, root, filepath.Join("link", "x")), "a link must not lead out")
	require.Error(t, m.GetFile(t.Context(), f, root, filepath.Join("..", "x")))
	require.Empty(t, tree(t, outside))
	require.Equal(t, fault.Invalid, fault.ExitOf(m.GetFile(t.Context(), f, root, strings.Repeat("n", 256))))
	require.NoError(t, m.GetFile(t.Context(), f, root, strings.Repeat("ä", 127)), "the temporary name must not be too long where the name is not")

	f.Size = 1 << 62
	err = m.GetFile(t.Context(), f, root, "huge")
	require.Error(t, err, "found before a byte was asked for, or at the end by its size")
	require.NotContains(t, tree(t, dir), "huge")
}

func TestGetStream_AndRange(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	f := s.Add("default", "k", "0123456789")
	var out bytes.Buffer
	failTimes(s, "GET", 2, 503, rest.CodeUnavailable)
	require.NoError(t, m.GetStream(t.Context(), f, &out), "tried again while nothing was written")
	require.Equal(t, "0123456789", out.String())

	out.Reset()
	require.NoError(t, m.GetRange(t.Context(), f, client.Range{First: 3, Last: 4}, &out))
	require.Equal(t, "34", out.String())
	require.Equal(t, fault.Invalid, fault.ExitOf(m.GetRange(t.Context(), f, client.Range{First: 30, Last: -1}, &out)))

	out.Reset()
	f.Checksums.CRC64NVME = "AAAAAAAAAAA="
	require.Equal(t, fault.Corrupt, fault.ExitOf(m.GetStream(t.Context(), f, &out)))
	require.Equal(t, "0123456789", out.String(), "once, not again and again")

	require.Equal(t, fault.NoSpace, fault.ExitOf(m.GetStream(t.Context(), f, full{})))
	require.Error(t, m.GetStream(t.Context(), rest.File{FileID: "gone"}, &out))
}

type full struct{}

func (full) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
}

func TestEach_AtMostSoManyAtOnceAndAllOfThem(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{0, 1, 3, 100} {
		var now, peak, done atomic.Int64
		items := make([]int, 50)
		transfer.Each(t.Context(), parallel, slices.Values(items), func(int) {
			n := now.Add(1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
			done.Add(1)
			now.Add(-1)
		})
		require.EqualValues(t, 50, done.Load())
		require.LessOrEqual(t, peak.Load(), int64(max(parallel, 1)))
	}
}

func TestEach_ReallyAtOnce(t *testing.T) {
	t.Parallel()
	var meet sync.WaitGroup
	meet.Add(4)
	transfer.Each(t.Context(), 4, slices.Values(make([]int, 4)), func(int) {
		meet.Done()
		meet.Wait() // deadlocks unless four run concurrently
	})
}

func TestEach_BeginsNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var done atomic.Int64
	transfer.Each(ctx, 1, slices.Values(make([]int, 50)), func(int) {
		done.Add(1)
		cancel()
	})
	require.LessOrEqual(t, done.Load(), int64(2), "the one under way, and one that was handed over before")
}

// discard answers uploads at once with their own checksum, so that only the client's work is measured.
func BenchmarkPutFile(b *testing.B) {
	s := resttest.New(b)
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, make([]byte, 1<<20))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"size":%d}`, n)
		return true
	})
	path := filepath.Join(b.TempDir(), "big")
	const size = 256 << 20
	f, err := os.Create(path)
	require.NoError(b, err)
	require.NoError(b, f.Truncate(size))
	require.NoError(b, f.Close())
	c := client.New(client.Config{Profile: s.Profile()})
	defer c.Close()
	m := &transfer.Manager{Client: c, Meter: &meter{}}
	b.SetBytes(size)
	for b.Loop() {
		if _, err := m.PutFile(b.Context(), path, to("k")); fault.ExitOf(err) != fault.Corrupt {
			b.Fatal(err) // the server computes no checksums, so each upload fails after its last byte
		}
	}
}
