package transfer_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

// copying returns a manager that copies files of more than 10 bytes in parts of 1 MiB.
func copying(t *testing.T) (*resttest.Server, *transfer.Manager, *meter) {
	t.Helper()
	s, m, moved := rig(t)
	s.AllowSmallParts()
	m.Copies = transfer.Sizes{Whole: 10, Least: 1, Most: 1}
	return s, m, moved
}

// parts are the bytes of a file of so many parts and one byte.
func parts(n int) string { return strings.Repeat("0123456789ABCDEF", n<<16) + "x" }

var dst = address.Remote{Bucket: "default", Key: "copy"}

func TestCopy_WholeAndInParts(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "0123456789", "0123456789A", parts(0), parts(1), parts(3), parts(3)[1:]} {
		s, c, m := copying(t)
		f := s.AddWith("default", "k", "text/x", map[string]string{"a": "b"}, data)
		got, err := c.CopyFile(t.Context(), f, dst)
		require.NoError(t, err)
		stored, _ := s.Data("default", "copy")
		require.True(t, data == stored)
		shown, _ := s.File("default", "copy")
		require.Equal(t, shown, got)
		require.Equal(t, "text/x", got.ContentType)
		require.Equal(t, f.Meta, got.Meta)
		require.EqualValues(t, len(data), m.Load())
		require.Empty(t, s.Sessions())
	}
}

func TestCopy_TriesPartsAgain(t *testing.T) {
	t.Parallel()
	s, c, m := copying(t)
	f := s.Add("default", "k", parts(3))
	var refused atomic.Int64
	s.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || refused.Add(1)%2 == 0 {
			return false
		}
		resttest.Refuse(w, http.StatusServiceUnavailable, rest.CodeUnavailable, "busy", "")
		return true
	})
	c.Lanes = transfer.NewLanes(1)
	_, err := c.CopyFile(t.Context(), f, dst)
	require.NoError(t, err)
	require.EqualValues(t, 8, refused.Load(), "each of four parts was tried twice")
	require.EqualValues(t, len(parts(3)), m.Load())
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
		s, c, m := copying(t)
		f := s.Add("default", "k", parts(3))
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
		_, err := c.CopyFile(t.Context(), f, dst)
		require.Equal(t, tc.want, fault.ExitOf(err), "%s: %v", name, err)
		shown, _ := s.File("default", "copy")
		require.Equal(t, old, shown, name)
		require.Empty(t, s.Sessions(), name)
		require.Zero(t, m.Load(), name)
	}
}

func TestCopy_Interrupted(t *testing.T) {
	t.Parallel()
	s, c, _ := copying(t)
	f := s.Add("default", "k", parts(3))
	ctx, cancel := context.WithCancel(t.Context())
	s.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			cancel()
		}
		return false
	})
	_, err := c.CopyFile(ctx, f, dst)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s.Sessions())
	require.Equal(t, []string{"k"}, s.Names("default"))
}
