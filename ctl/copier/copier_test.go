package copier_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/copier"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type meter struct{ atomic.Int64 }

func (m *meter) Moved(n int64) { m.Add(n) }

// start returns a copier that copies files of more than 10 bytes in parts of 4.
func start(t *testing.T) (*resttest.Server, copier.Copier, *meter) {
	t.Helper()
	s := resttest.New(t)
	s.AllowSmallParts()
	c := client.New(client.Config{Profile: s.Profile()})
	t.Cleanup(c.Close)
	m := &meter{}
	return s, copier.Copier{
		Store: c, Retry: transfer.Retry{Tries: 3, Initial: 1, Max: 1}, Meter: m, Parallel: 3,
		Sizes: copier.Sizes{Whole: 10, MinPart: 4, MaxPart: 4, MaxParts: 100},
	}, m
}

var dst = address.Remote{Bucket: "default", Key: "copy"}

func TestCopy_WholeAndInParts(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "0123456789", "0123456789A", "0123456789AB", strings.Repeat("xyz", 133)} {
		s, c, m := start(t)
		f := s.AddWith("default", "k", "text/x", map[string]string{"a": "b"}, data)
		got, err := c.Copy(t.Context(), f, dst)
		require.NoError(t, err)
		stored, _ := s.Data("default", "copy")
		require.Equal(t, data, stored)
		shown, _ := s.File("default", "copy")
		require.Equal(t, shown, got)
		require.Equal(t, "text/x", got.ContentType)
		require.Equal(t, f.Meta, got.Meta)
		require.EqualValues(t, len(data), m.Load())
		require.Empty(t, s.Sessions())
	}
}

// The number of parts and their sizes stay within their bounds.
func TestSizes(t *testing.T) {
	t.Parallel()
	sizes := copier.DefaultSizes()
	for size, want := range map[int64]int64{300 << 20: 64 << 20, 2 << 30: 128 << 20, 100 << 30: 256 << 20, 5 << 40: (5<<40 + 9999) / 10000} {
		require.Equal(t, want, sizes.Part(size))
	}
}

func TestCopy_TriesPartsAgain(t *testing.T) {
	t.Parallel()
	s, c, m := start(t)
	f := s.Add("default", "k", "0123456789ABCDEF")
	var refused atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || refused.Add(1)%2 == 0 {
			return false
		}
		resttest.Refuse(w, http.StatusServiceUnavailable, rest.CodeUnavailable, "busy", "")
		return true
	})
	c.Parallel = 1
	_, err := c.Copy(t.Context(), f, dst)
	require.NoError(t, err)
	require.EqualValues(t, 8, refused.Load(), "each of four parts was tried twice")
	require.EqualValues(t, 16, m.Load())
}

// After a failure nothing is visible, no session remains, and the meter is corrected.
func TestCopy_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		refuse string
		want   fault.Exit
	}{
		"part":     {"PUT", fault.NoSpace},
		"complete": {"complete", fault.NoSpace},
		"gone":     {"", fault.NotFound},
		"damaged":  {"", fault.Corrupt},
	} {
		s, c, m := start(t)
		f := s.Add("default", "k", "0123456789ABCDEF")
		old := s.Add("default", "copy", "old")
		switch name {
		case "gone":
			f.FileID = "00000000-0000-7000-8000-999999999999"
		case "damaged":
			s.Damage("default", "k")
		}
		s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
			if tc.refuse == "" || r.Method != tc.refuse && !strings.HasSuffix(r.URL.Path, tc.refuse) {
				return false
			}
			resttest.Refuse(w, http.StatusInsufficientStorage, rest.CodeNoSpace, "full", "")
			return true
		})
		_, err := c.Copy(t.Context(), f, dst)
		require.Equal(t, tc.want, fault.ExitOf(err), "%s: %v", name, err)
		shown, _ := s.File("default", "copy")
		require.Equal(t, old, shown, name)
		require.Empty(t, s.Sessions(), name)
		require.Zero(t, m.Load(), name)
	}
}

func TestCopy_Interrupted(t *testing.T) {
	t.Parallel()
	s, c, _ := start(t)
	f := s.Add("default", "k", "0123456789ABCDEF")
	ctx, cancel := context.WithCancel(t.Context())
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			cancel()
		}
		return false
	})
	_, err := c.Copy(ctx, f, dst)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s.Sessions())
	require.Equal(t, []string{"k"}, s.Names("default"))
}
