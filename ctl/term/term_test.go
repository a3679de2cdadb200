package term

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDetect_BuffersAndPipesAreNoTerminals(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	s := Detect(r, w, &bytes.Buffer{})
	require.False(t, s.InTTY || s.OutTTY || s.ErrTTY || s.CanAsk())
	require.True(t, (&Streams{InTTY: true, ErrTTY: true}).CanAsk())
}

func TestConfirm_OnlyYesIsYes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"y\n": true, "YES\n": true, " yes ": true, "n\n": false, "\n": false, "": false, "yep\n": false} {
		var out screen
		got, err := (&Streams{In: strings.NewReader(in), Err: &out}).Confirm("Remove 3 objects?")
		require.NoError(t, err)
		require.Equal(t, want, got, "%q", in)
		require.Equal(t, "Remove 3 objects? [y/N] ", out.String())
	}
	_, err := (&Streams{In: brokenReader{}, Err: io.Discard}).Confirm("x")
	require.ErrorIs(t, err, errBroken)
	_, err = (&Streams{In: strings.NewReader("y"), Err: brokenWriter{}}).Confirm("x")
	require.ErrorIs(t, err, errBroken)
}

func TestReadSecret_FromAPipeIsOneLine(t *testing.T) {
	t.Parallel()
	var out screen
	got, err := (&Streams{In: strings.NewReader("se cret\r\nmore"), Err: &out}).ReadSecret("secret")
	require.NoError(t, err)
	require.Equal(t, "se cret", got)
	require.Empty(t, out.String())
	_, err = (&Streams{In: brokenReader{}, Err: &out}).ReadSecret("secret")
	require.ErrorIs(t, err, errBroken)
}

var errBroken = errors.New("broken")

type (
	brokenReader struct{}
	brokenWriter struct{}
)

func (brokenReader) Read([]byte) (int, error)  { return 0, errBroken }
func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestClean_NamesCannotSteerATerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ä 日本":   "plain ä 日本",
		"a\nb\tc\rd":   `a\nb\tc\rd`,
		"\x1b[2Jgone":  `\u001b[2Jgone`,
		"\xff":         `\xff`,
		"a\u202etxt":   `a\u202etxt`,
		"back\\slash":  `back\slash`,
		"\u0085\u2028": `\u0085\u2028`,
	} {
		require.Equal(t, want, Clean(in))
	}
}

func TestSizeAndCount(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1.5 GiB", Size(3<<29))
	require.Equal(t, "0 B", Size(0))
	require.Equal(t, "unknown", Size(-1))
	require.Equal(t, "1 file", Count(1, "file"))
	require.Equal(t, "12,345 files", Count(12345, "file"))
}

func TestTable_AlignedOnATerminalBareInAPipe(t *testing.T) {
	t.Parallel()
	columns := []Column{{Title: "SIZE", Right: true}, {Title: "KIND"}, {Title: "NAME"}}
	for _, tc := range []struct {
		tty  bool
		want string
	}{
		{true, " SIZE  KIND  NAME\n    1  ä     a\n12345        b\\nc\n"},
		{false, "1\tä\ta\n12345\t\tb\\nc\n"},
	} {
		var out screen
		s := &Streams{Out: &out, OutTTY: tc.tty}
		table := s.NewTable(columns...)
		require.NoError(t, table.Row("1", "ä", "a"))
		require.NoError(t, table.Row("12345", "", "b\nc"))
		require.NoError(t, table.Flush())
		require.Equal(t, tc.want, out.String())
	}
}

func TestTable_NoRowsNoTitles(t *testing.T) {
	t.Parallel()
	var out screen
	require.NoError(t, (&Streams{Out: &out, OutTTY: true}).NewTable(Column{Title: "A"}).Flush())
	require.Empty(t, out.String())
}

func TestTable_LongOnesAreShownInBlocksUnderOneTitle(t *testing.T) {
	t.Parallel()
	var out screen
	table := (&Streams{Out: &out, OutTTY: true}).NewTable(Column{Title: "TITLE"})
	for range blockRows {
		require.NoError(t, table.Row("x"))
	}
	require.Equal(t, blockRows+1, strings.Count(out.String(), "\n"), "a full block does not wait for Flush")
	require.NoError(t, table.Row("y"))
	require.NoError(t, table.Flush())
	require.Equal(t, 1, strings.Count(out.String(), "TITLE"))
	require.Error(t, func() error {
		broken := (&Streams{Out: brokenWriter{}}).NewTable(Column{})
		_ = broken.Row("x")
		return broken.Flush()
	}(), "a broken pipe is reported")
}

func TestProgress_SilentWhereNobodyLooks(t *testing.T) {
	t.Parallel()
	var out screen
	for _, p := range []*Progress{Silent(), (&Streams{Err: &out, ErrTTY: true}).ProgressAs(ProgressNone)} {
		p.Plan(1, 10)
		i := p.Start("a", 10)
		i.Moved(10)
		i.End()
		lines := 0
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { p.Above(func() { lines++ }) })
		}
		wg.Wait()
		require.Equal(t, 10, lines)
		p.Complete()
	}
	require.Empty(t, out.String())
	_, ok := (&Streams{Err: &out, ErrTTY: true}).ProgressAs(ProgressAuto).display.(*bar)
	require.True(t, ok)
}
