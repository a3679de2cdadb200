package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

func TestTable_EveryKindAndCodeStandsOnce(t *testing.T) {
	t.Parallel()
	codes, kinds := map[fault.Exit]bool{}, map[problem.Kind]bool{}
	for _, row := range fault.Table() {
		require.False(t, codes[row.Exit], "exit %d twice", row.Exit)
		codes[row.Exit] = true
		require.NotEmpty(t, row.Meaning)
		for _, k := range row.Kinds {
			require.False(t, kinds[k], "kind %s twice", k)
			kinds[k] = true
			if k != problem.OK {
				require.Equal(t, row.Exit, fault.ExitOf(fault.New(k, "x")))
			}
		}
	}
	// Every kind of a problem document is in the table; otherwise a server's answer would be "internal".
	for _, k := range problem.Kinds() {
		require.True(t, kinds[k], k)
	}
}

func TestExitOf_ClassifiesWhatTheSystemSays(t *testing.T) {
	t.Parallel()
	path := func(err error) error { return &fs.PathError{Op: "open", Path: "a.txt", Err: err} }
	for _, tc := range []struct {
		err  error
		want fault.Exit
	}{
		{nil, fault.OK},
		{errors.New("what?"), fault.Failed},
		{context.Canceled, fault.Interrupted},
		{context.DeadlineExceeded, fault.Unavailable},
		{path(syscall.ENOENT), fault.NotFound},
		{path(syscall.EEXIST), fault.Conflict},
		{path(syscall.EISDIR), fault.Conflict},
		{path(syscall.EACCES), fault.Denied},
		{path(syscall.EROFS), fault.Denied},
		{path(syscall.ENOSPC), fault.NoSpace},
		{path(syscall.ENAMETOOLONG), fault.Invalid},
		{fmt.Errorf("more: %w", fault.New(problem.Corrupt, "x")), fault.Corrupt},
		{fault.New(problem.Parse("a kind of a later version"), "x"), fault.Failed},
	} {
		require.Equal(t, tc.want, fault.ExitOf(tc.err), "%v", tc.err)
	}
}

func TestWrap_NamesTheItemOnce(t *testing.T) {
	t.Parallel()
	_, err := os.Open(filepath.Join(t.TempDir(), "absent"))
	err = fault.Wrap("absent", err)
	require.EqualError(t, err, "absent: no such file or directory")
	require.Equal(t, fault.NotFound, fault.ExitOf(err))
	require.NoError(t, fault.Wrap("x", nil))

	err = fault.Wrap("outer", fault.New(problem.Denied, "no").WithHint("ask %s", "Ann"))
	require.EqualError(t, err, "outer: no")
	require.Equal(t, fault.Denied, fault.ExitOf(err))
	require.Equal(t, "ask Ann", fault.HintOf(err))
	require.EqualError(t, &fault.Error{Kind: problem.NoSpace}, "no space")
	require.Empty(t, fault.HintOf(errors.New("x")))
	require.Equal(t, "do it", fault.HintOf(fmt.Errorf("x: %w", hinted{})))
}

type hinted struct{}

func (hinted) Error() string { return "hinted" }
func (hinted) Hint() string  { return "do it" }
