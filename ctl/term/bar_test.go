package term

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBar_ClaimsAllOnlyAtTheEnd(t *testing.T) {
	t.Parallel()
	var out screen
	b := newBar(&out, 0, false)
	i := b.Start("", -1)
	b.Plan(2, 1000<<20)
	i.Moved(1000 << 20)
	require.NotContains(t, out.String(), "100%", "sent is not acknowledged")
	require.Contains(t, out.String(), "99%")
	i.Moved(-500 << 20)
	i.Moved(500 << 20)
	i.End()
	b.Above(func() { out.WriteString("a.txt\n") })
	require.Contains(t, out.String(), "\r\x1b[0Ja.txt\n", "a line stands alone, above the bar")
	i.End()
	require.NotContains(t, out.String(), "100%")
	b.Complete()
	require.Contains(t, out.String(), "2/2")
	require.Contains(t, out.String(), "100%")
	require.True(t, strings.HasSuffix(out.String(), "\n"))
	b.Complete()
}

var update = flag.Bool("update", false, "rewrite the golden files")

// frames are what a bar may have to show.
func frames() map[string]snapshot {
	const gib = 1 << 30
	wide := "写真/ベルゲン/夏の長い名前の写真.jpg"
	one := snapshot{
		files: 1, total: gib, moved: 488 << 20, rate: 60 << 20, effort: 60 << 20, elapsed: 8 * time.Second,
		items: []itemState{{"s3://default/backup/2026/shop.dump", 488 << 20, gib}},
	}
	many := snapshot{
		files: 10000, done: 3404, total: 57 << 10, moved: 20 << 10, rate: 12 << 10, effort: 500 * fileEffort, elapsed: 68 * time.Second,
		extra: 10000 * fileEffort, extraDone: 3404 * fileEffort,
	}
	listing := many
	listing.listing = true
	away := one
	away.outage = "server away (connection refused); waiting for 12s, up to 5m"
	rows := snapshot{
		files: 12, done: 3, total: 4 * gib, moved: gib + 5<<20, rate: 400 << 20, effort: 400 << 20, elapsed: 3 * time.Second,
		items: []itemState{{wide, 3 << 20, 9 << 20}, {"a", 0, 0}, {"s3://default/x/" + strings.Repeat("long", 30), gib, 2 * gib}, {"-", 7 << 20, -1}},
	}
	stream := snapshot{files: 1, total: -1, moved: 3 << 30, rate: 101 << 20, effort: 1, elapsed: 3 * time.Hour}
	return map[string]snapshot{
		"one file": one, "many small files": many, "still listing": listing, "outage": away, "rows": rows, "stream": stream, "complete": one.whole(),
	}
}

func TestBar_GoldenFrames(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	all := frames()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, columns := range []int{20, 40, 80, 200} {
			fmt.Fprintf(&out, "== %s, %d columns\n", name, columns)
			if name == "rows" {
				for _, row := range itemFrames(all[name].items, columns-1, 5) {
					fmt.Fprintln(&out, row)
				}
			}
			fmt.Fprintln(&out, frame(all[name], columns-1))
		}
	}
	golden := "testdata/frames.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(out.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err, "run with -update to write it")
	require.Equal(t, string(want), out.String())
}

// Whatever is shown fits, in terminals of all widths, and has the percentage where one is known.
func TestBar_FitsItsTerminal(t *testing.T) {
	t.Parallel()
	for _, files := range []int{1, 1_000_000} {
		for _, total := range []int64{-1, 0, 1, 999, 1 << 20, 1023 << 30, 1 << 60} {
			for _, rate := range []float64{0, 1, 1023 << 20} {
				s := snapshot{total: total, moved: max(total/3, 0), rate: rate, effort: rate, files: files, done: files / 2, elapsed: 90 * time.Hour}
				s.items = []itemState{{"写真e\u0301👩\u200d💻" + strings.Repeat("x", files%77), s.moved, total}}
				for _, s := range []snapshot{s, s.whole()} {
					requireFits(t, s)
				}
			}
		}
	}
	for _, s := range frames() {
		requireFits(t, s)
	}
}

func requireFits(t *testing.T, s snapshot) {
	t.Helper()
	for columns := 1; columns <= 300; columns++ {
		text := frame(s, columns)
		require.LessOrEqual(t, width(text), columns, "%q", text)
		require.NotContains(t, text, "\n")
		for _, row := range itemFrames(s.items, columns, 3) {
			require.LessOrEqual(t, width(row), columns, "%q", row)
		}
		if s.outage != "" || columns < 20 {
			continue
		}
		if !s.open() {
			require.Contains(t, text, fmt.Sprintf("%d%%", s.percent()))
		}
		if !s.open() && columns >= 100 {
			require.Contains(t, text, "[")
			require.Equal(t, columns, width(text), "the bar fills what is left")
		}
	}
}

func TestBar_RowsOfTheFilesInProgress(t *testing.T) {
	t.Parallel()
	out := &counter{}
	b := newBar(out, 0, true)
	b.Plan(3, 300)
	one, two := b.Start("one", 100), b.Start("two", 100)
	one.Moved(50)
	out.Reset()
	two.Moved(10)
	require.Equal(t, 2, strings.Count(out.String(), "\n"), "two rows and the sum of all")
	require.True(t, strings.HasPrefix(out.String(), "\r\x1b[2A"), "they replace those before: %q", out.String())
	out.Reset()
	one.End()
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "a row ends with its file, and the lines below are erased")
	require.True(t, strings.HasSuffix(out.String(), "\x1b[0J"))
	two.Interrupted()
	require.Contains(t, out.String(), "1/3", "what was interrupted is not done")
	b.Close()
	require.True(t, strings.HasSuffix(out.String(), "\r\x1b[0J"))
}

// An outage is one calm line in place, from the first second to the end, and then one line that stays.
func TestBar_AnOutageIsOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		b := newBar(&out, 0, false)
		b.Plan(1, 1000<<20)
		i := b.Start("file", 1000<<20)
		run(i, 5, 10)
		for range 60 { // eight streams, each tried again and again
			b.Failing("server away (connection refused)", 5*time.Minute)
			time.Sleep(500 * time.Millisecond)
		}
		require.Contains(t, out.String(), "server away (connection refused); waiting for 12s, up to 5m")
		require.NotContains(t, out.String(), "\n")
		time.Sleep(4900 * time.Millisecond)
		require.Contains(t, out.String(), "waiting for 34s", "it is drawn without any event")
		out.Reset()
		i.Moved(1)
		require.Contains(t, out.String(), "s3ctl: back after 35s\n")
		run(i, 3, 50)
		require.Contains(t, out.String(), "50 MiB/s", "the rate does not count the time of the outage")
		b.Failing("server away (connection refused)", time.Minute)
		out.Reset()
		b.Working()
		require.NotContains(t, out.String(), "back", "nobody hears of what a retry has ended at once")
		b.Close()
	})
}

func TestBar_APercentageNeedsATotal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		b := newBar(&out, 0, false)
		b.Listing()
		b.Plan(10, 0)
		for range 9 {
			b.Start("x", 0).End()
			time.Sleep(time.Second)
		}
		require.Contains(t, out.String(), "9 done, still listing")
		require.NotContains(t, out.String(), "%")
		require.NotContains(t, out.String(), "left")
		b.Listed()
		time.Sleep(time.Second)
		require.Contains(t, out.String(), "9/10")
		require.Contains(t, out.String(), "90%", "empty files count as well")
		b.Close()
	})
}

// counter records the writes.
type counter struct {
	screen
	writes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	return c.screen.Write(p)
}

// screen is a stream that a clock may write to while a test reads it.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) WriteString(text string) (int, error) { return s.Write([]byte(text)) }

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Reset()
}

func TestBar_AFrameIsOneWrite(t *testing.T) {
	t.Parallel()
	out := &counter{}
	b := newBar(out, 0, false)
	i := b.Start("", -1)
	b.Plan(1, 100)
	for range 10 {
		i.Moved(10)
	}
	require.Equal(t, 10, out.writes, "an update is drawn once")
	require.Equal(t, 10, strings.Count(out.String(), "%"))
	narrow := 0
	b.display.(*bar).size = func() (columns, lines int) { narrow += 7; return 80 - narrow, 24 }
	i.Moved(0)
	i.Moved(0)
	b.Complete()
	require.Equal(t, 13, out.writes)
	frames := strings.Split(out.String(), "\r")
	require.Less(t, len(frames[12]), len(frames[10]), "it follows a terminal that becomes narrower")
}

func TestBar_FailureLeavesNoBar(t *testing.T) {
	t.Parallel()
	var out screen
	b := newBar(&out, 0, false)
	i := b.Start("", -1)
	b.Close()
	b.Above(func() {})
	i.Moved(1) // a late report from an aborted transfer
	i.End()
	require.Empty(t, out.String(), "nothing began, nothing is shown")
	b = newBar(&out, 0, false)
	i = b.Start("", -1)
	b.Plan(1, 10)
	i.Moved(3)
	b.Plan(1, 5) // found while the first is in progress
	i.Moved(12)
	b.Close()
	require.NotContains(t, out.String(), "100%")
	require.True(t, strings.HasSuffix(out.String(), "\r\x1b[0J"))
}

func TestBar_UnknownLengthSpins(t *testing.T) {
	t.Parallel()
	var out screen
	b := newBar(&out, 0, false)
	i := b.Start("", -1)
	b.Plan(1, -1)
	for range 100 {
		i.Moved(1 << 20)
	}
	i.End()
	b.Complete()
	require.Contains(t, out.String(), "MiB")
	require.NotContains(t, out.String(), "%")
}

func TestBar_EmptyFilesReachTheEndToo(t *testing.T) {
	t.Parallel()
	var out screen
	b := newBar(&out, 0, false)
	i := b.Start("", -1)
	b.Plan(1, 0)
	i.End()
	b.Complete()
	require.Contains(t, out.String(), "100%")
}
