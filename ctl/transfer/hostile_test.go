package transfer_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

// mib is the smallest part size.
const mib = 1 << 20

// poison is a byte that no file of these tests contains.
const poison = 0xEE

// hostile answers a range request with a wrong response, from random numbers.
type hostile struct {
	length  int  // bytes sent
	named   bool // Content-Length is sent
	shift   int  // of the range in Content-Range
	grown   int  // of the size in Content-Range
	whole   bool // status 200
	breaks  bool // the connection is reset after the bytes
	garbage byte
}

func (h hostile) answer(w http.ResponseWriter, first, last, size int) {
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first+h.shift, last+h.shift, size+h.grown))
	if h.named {
		w.Header().Set("Content-Length", fmt.Sprint(h.length))
	}
	if h.whole {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusPartialContent)
	}
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write(bytes.Repeat([]byte{h.garbage}, h.length))
	if h.breaks {
		panic(http.ErrAbortHandler)
	}
}

// For any status, headers and length, a response changes no byte outside its range, and only the right file gets
// the target's name.
func TestGet_NoAnswerChangesAByteOutsideItsOwnRange(t *testing.T) {
	t.Parallel()
	const size, part = 5 * mib, mib
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	s, base, _ := rig(t)
	f := s.Add("default", "k", string(data))
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "range")
		require.NoError(t, err)
		defer os.RemoveAll(dir)
		root, err := os.OpenRoot(dir)
		require.NoError(t, err)
		defer root.Close()
		bad := rapid.IntRange(0, 4).Draw(t, "bad range")
		times := int64(rapid.IntRange(1, 5).Draw(t, "wrong answers"))
		h := hostile{
			length: rapid.OneOf(rapid.IntRange(0, 3*mib), rapid.IntRange(part-1, part+1)).Draw(t, "length"), named: rapid.Bool().Draw(t, "named"),
			shift: rapid.SampledFrom([]int{0, 0, 0, 1, -1, part}).Draw(t, "shift"), grown: rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "grown"),
			whole: rapid.IntRange(0, 5).Draw(t, "whole") == 0, breaks: rapid.Bool().Draw(t, "breaks"), garbage: poison,
		}
		var seen atomic.Int64
		s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
			first, last := 0, 0
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
			if first != bad*part || seen.Add(1) > times {
				return false
			}
			h.answer(w, first, last, size)
			return true
		})
		m := *base
		m.Lanes, m.Sizes = transfer.NewLanes(4), transfer.Sizes{Whole: mib, Least: part, Most: part}
		err = m.GetFile(t.Context(), f, root, "f")
		if err == nil {
			got, err := os.ReadFile(filepath.Join(dir, "f"))
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got), "success over other bytes")
			return
		}
		require.NoFileExists(t, filepath.Join(dir, "f"))
		got, err := os.ReadFile(filepath.Join(dir, ".f.part"))
		if os.IsNotExist(err) {
			return
		}
		require.NoError(t, err)
		require.LessOrEqual(t, len(got), size)
		clear(got[bad*part : (bad+1)*part])
		require.Negative(t, bytes.IndexByte(got, poison), "a byte outside of the range was written")
	})
	s.SetHook(nil)
}

// The bytes of one range arrive late and are too many, while the neighbouring ranges are complete: these must stay intact.
func TestGet_ALateOverflowLeavesItsNeighbours(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	m.Lanes = transfer.NewLanes(8) // four of them at first
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	f := s.Add("default", "k", string(data))
	others := make(chan struct{})
	var once sync.Once
	var done atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			s.ServeHTTP(w, r)
			if done.Add(1) == 2 {
				close(others)
			}
			return true
		}
		late := false
		once.Do(func() { late = true })
		if late {
			<-others
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", largePart-1, f.Size))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data[:largePart])
			_, _ = w.Write(bytes.Repeat([]byte{poison}, 6000))
		}
		return late
	})
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	same(t, filepath.Join(dir, "f"), data)
}

// The bytes on disk are verified, not those received: a change on disk is detected before the file is renamed.
func TestGet_WhatIsOnDiskIsCompared(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"a byte":    func(path string) error { return writeAt(path, 100, []byte{1, 2, 3}) },
		"truncated": func(path string) error { return os.Truncate(path, 4096) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, m, _, told := resumable(t)
			m.Lanes = transfer.NewLanes(1)
			root, dir := openRoot(t)
			_, data := writeFile(t, large)
			f := s.Add("default", "k", string(data))
			var once sync.Once
			s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.Header.Get("Range"), fmt.Sprintf("bytes=%d-", 4*largePart)) {
					once.Do(func() {
						if err := damage(filepath.Join(dir, ".f.part")); err != nil {
							t.Error(err)
						}
					})
				}
				return false
			})
			require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
			same(t, filepath.Join(dir, "f"), data)
			require.Contains(t, told.all(), "changed on disk")
		})
	}
}

func writeAt(path string, off int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(data, off)
	return err
}

// An endless body ends at the file's size, for a file and for a stream.
func TestGet_AnEndlessBodyEnds(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	root, dir := openRoot(t)
	f := s.Add("default", "k", "13 bytes here")
	var sent atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "13 bytes here")
		for r.Context().Err() == nil {
			n, _ := w.Write(make([]byte, 1<<16))
			sent.Add(int64(n))
		}
		return true
	})
	require.Equal(t, fault.Corrupt, fault.ExitOf(m.GetFile(t.Context(), f, root, "f")))
	require.Empty(t, tree(t, dir))
	var out bytes.Buffer
	require.NoError(t, m.GetStream(t.Context(), f, &out), "what was written is the file")
	require.Equal(t, "13 bytes here", out.String())
	out.Reset()
	s.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Range", "bytes 99-111/200")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "not what I as")
		return true
	})
	require.Equal(t, fault.Corrupt, fault.ExitOf(m.GetRange(t.Context(), f, client.Range{First: 0, Last: 12}, &out)))
	require.Empty(t, out.String())
}

func TestGet_ASizeThatNoFileHas(t *testing.T) {
	t.Parallel()
	_, m, _ := rig(t)
	root, dir := openRoot(t)
	for _, size := range []int64{-1, -1 << 63, 1<<63 - 1, 1 << 57} {
		err := m.GetFile(t.Context(), rest.File{FileID: "x", Size: size}, root, "f")
		require.Equal(t, fault.Failed, fault.ExitOf(err), "%d", size)
	}
	require.Empty(t, tree(t, dir))
}
