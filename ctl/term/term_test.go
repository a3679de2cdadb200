package term

import (
	"bytes"
	"errors"
	"fmt"
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
		var out bytes.Buffer
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
	var out bytes.Buffer
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
		var out bytes.Buffer
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
	var out bytes.Buffer
	require.NoError(t, (&Streams{Out: &out, OutTTY: true}).NewTable(Column{Title: "A"}).Flush())
	require.Empty(t, out.String())
}

func TestTable_LongOnesAreShownInBlocksUnderOneTitle(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
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

func TestBar_ClaimsAllOnlyAtTheEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newBar(&out, 0)
	b.Plan(2, 1000)
	b.Moved(1000)
	require.NotContains(t, out.String(), "100%", "sent is not acknowledged")
	require.Contains(t, out.String(), "99%")
	b.Moved(-500)
	b.Moved(500)
	b.Finished()
	b.Above(func() { out.WriteString("a.txt\n") })
	require.Contains(t, out.String(), "\r\x1b[2Ka.txt\n", "a line stands alone, above the bar")
	b.Finished()
	require.NotContains(t, out.String(), "100%")
	b.Complete()
	require.Contains(t, out.String(), "2/2")
	require.Contains(t, out.String(), "100%")
	require.True(t, strings.HasSuffix(out.String(), "\n"))
	b.Complete()
}

// Every combination of fields that affects the width of a frame.
func standings() (all []snapshot) {
	for _, total := range []int64{-1, 0, 1, 999, 1 << 20, 1023 << 30, 1 << 60} {
		for _, rate := range []float64{0, 1, 1023 << 20} {
			for _, files := range []int{1, 1_000_000} {
				s := snapshot{total: total, moved: max(total/3, 0), rate: rate, files: files, done: files / 2}
				all = append(all, s, s.whole())
			}
		}
	}
	return all
}

func TestBar_FitsItsTerminal(t *testing.T) {
	t.Parallel()
	for _, s := range standings() {
		last := 0
		for columns := 1; columns <= 300; columns++ {
			text := frame(s, columns)
			require.LessOrEqual(t, len(text), columns, "%q", text)
			for _, r := range text {
				require.True(t, r >= ' ' && r <= '~', "%q", text)
			}
			if columns >= 20 {
				require.Contains(t, text, Size(s.moved))
			}
			if s.total > 0 && columns >= 20 {
				require.Contains(t, text, fmt.Sprintf("%d%%", s.percent()))
			}
			if s.total > 0 && columns >= 90 {
				require.Contains(t, text, "[")
				require.Equal(t, columns, len(text), "the bar fills what is left")
			}
			last = max(last, len(text))
		}
		require.Positive(t, last)
	}
	one := snapshot{total: 100 << 20, moved: 50 << 20, rate: 10 << 20, files: 10, done: 3}
	for columns, want := range map[int]string{
		3: "50%", 12: "50 MiB  50%", 21: "50 MiB  50%", 27: "50 MiB of 100 MiB  50%", 38: "3/10  50 MiB of 100 MiB  50%",
		40: "3/10  50 MiB of 100 MiB  50% [===>     ]", 44: "3/10  50 MiB of 100 MiB  5s  50% [===>     ]",
		55: "3/10  50 MiB of 100 MiB  10 MiB/s  5s  50% [====>     ]",
	} {
		require.Equal(t, want, frame(one, columns), "%d columns", columns)
	}
}

// counter records the writes.
type counter struct {
	bytes.Buffer
	writes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(p)
}

func TestBar_AFrameIsOneWrite(t *testing.T) {
	t.Parallel()
	out := &counter{}
	b := newBar(out, 0)
	b.Plan(1, 100)
	for range 10 {
		b.Moved(10)
	}
	require.Equal(t, 10, out.writes, "an update is drawn once")
	require.Equal(t, 10, strings.Count(out.String(), "%"))
	narrow := 0
	b.display.(*bar).columns = func() int { narrow += 7; return 80 - narrow }
	b.Moved(0)
	b.Moved(0)
	b.Complete()
	require.Equal(t, 13, out.writes)
	frames := strings.Split(out.String(), "\r")
	require.Less(t, len(frames[12]), len(frames[10]), "it follows a terminal that becomes narrower")
}

func TestBar_FailureLeavesNoBar(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newBar(&out, 0)
	b.Close()
	b.Above(func() {})
	b.Moved(1) // a late report from an aborted transfer
	b.Finished()
	require.Empty(t, out.String(), "nothing began, nothing is shown")
	b = newBar(&out, 0)
	b.Plan(1, 10)
	b.Moved(3)
	b.Plan(1, 5) // found while the first is in progress
	b.Moved(12)
	b.Close()
	require.NotContains(t, out.String(), "100%")
	require.True(t, strings.HasSuffix(out.String(), "\r\x1b[2K"))
}

func TestBar_UnknownLengthSpins(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newBar(&out, 0)
	b.Plan(1, -1)
	for range 100 {
		b.Moved(1 << 20)
	}
	b.Finished()
	b.Complete()
	require.Contains(t, out.String(), "MiB")
	require.NotContains(t, out.String(), "%")
}

func TestBar_EmptyFilesReachTheEndToo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newBar(&out, 0)
	b.Plan(1, 0)
	b.Finished()
	b.Complete()
	require.Contains(t, out.String(), "100%")
}

func TestProgress_SilentWhereNobodyLooks(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, p := range []*Progress{Silent(), (&Streams{Err: &out, ErrTTY: true}).ProgressAs(ProgressNone)} {
		p.Plan(1, 10)
		p.Moved(10)
		p.Finished()
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
