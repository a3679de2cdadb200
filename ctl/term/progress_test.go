package term

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseProgressStyle(t *testing.T) {
	t.Parallel()
	for _, style := range []ProgressStyle{ProgressAuto, ProgressBar, ProgressLog, ProgressJSON, ProgressNone} {
		got, err := ParseProgressStyle(string(style))
		require.NoError(t, err)
		require.Equal(t, style, got)
	}
	_, err := ParseProgressStyle("fancy")
	require.ErrorContains(t, err, "auto, bar, log, json, none")
}

func TestProgressAs_WhatFitsTheStream(t *testing.T) {
	t.Parallel()
	for _, tty := range []bool{true, false} {
		s := &Streams{Err: &screen{}, ErrTTY: tty}
		require.Nil(t, s.ProgressAs(ProgressNone).display)
		require.IsType(t, &bar{}, s.ProgressAs(ProgressBar).display, "who asks for a bar gets it")
		require.IsType(t, &lines{}, s.ProgressAs(ProgressJSON).display)
		require.IsType(t, &lines{}, s.ProgressAs(ProgressLog).display)
		if tty {
			require.IsType(t, &bar{}, s.ProgressAs(ProgressAuto).display)
		} else {
			require.IsType(t, &lines{}, s.ProgressAs(ProgressAuto).display)
		}
	}
}

// run moves so many MiB a second for a number of seconds.
func run(i *Item, seconds int, mibPerSecond int64) {
	for range seconds * 10 {
		time.Sleep(100 * time.Millisecond)
		i.Moved(mibPerSecond << 20 / 10)
	}
}

func TestLog_SaysNothingOfWhatIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		p := (&Streams{Err: &out}).ProgressAs(ProgressAuto)
		i := p.Start("", -1)
		p.Plan(1, 90<<20)
		run(i, 9, 10)
		i.End()
		p.Above(func() { out.WriteString("a result\n") })
		p.Complete()
		require.Equal(t, "a result\n", out.String())
		out.Reset()
		time.Sleep(time.Hour)
		(&Streams{Err: &out}).ProgressAs(ProgressAuto).Complete()
		require.Empty(t, out.String(), "nothing was to be moved")
	})
}

func TestLog_ALineForEachTenthOrMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		p := (&Streams{Err: &out}).ProgressAs(ProgressLog)
		i := p.Start("", -1)
		p.Plan(2, 3000<<20)
		i.Resumed(300 << 20)
		run(i, 50, 30) // a tenth takes ten seconds
		i.End()
		run(i, 120, 5) // a tenth takes a minute
		i.Moved(600 << 20)
		require.NotContains(t, out.String(), "100%", "sent is not acknowledged")
		i.End()
		p.Complete()
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		require.Equal(t, "s3ctl: 0.58 of 2.92 GiB (20%), 0 of 2 files, 30 MiB/s, 1m20s left", lines[0])
		require.Len(t, lines, 5+2+1, out.String())
		require.Equal(t, "s3ctl: 2.34 of 2.92 GiB (80%), 1 of 2 files, 5.0 MiB/s, 2m left", lines[6])
		require.Contains(t, lines[7], "2.92 of 2.92 GiB (100%), 2 of 2 files")
		i.Moved(1)
		p.Complete()
		require.Equal(t, 8, strings.Count(out.String(), "\n"), "nothing comes behind the end")
	})
}

func TestLog_SlowOnesAreHeardOfEachMinute(t *testing.T) {
	t.Parallel()
	at := func(seconds, percent int64) snapshot {
		return snapshot{at: time.Unix(seconds, 0), moved: percent, total: 100}
	}
	require.False(t, nowAndThen(at(0, 9), at(9, 90)), "too soon")
	require.True(t, nowAndThen(at(0, 9), at(10, 10)))
	require.False(t, nowAndThen(at(0, 10), at(59, 19)), "no tenth more")
	require.True(t, nowAndThen(at(0, 10), at(60, 10)))
	stream := snapshot{at: time.Unix(10, 0), total: -1}
	require.True(t, nowAndThen(snapshot{at: time.Unix(0, 0), total: -1}, stream), "of a stream there are no tenths")
}

func TestLog_OfWhatFailedClaimsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		p := (&Streams{Err: &out}).ProgressAs(ProgressLog)
		i := p.Start("", -1)
		p.Plan(1, 200<<20)
		run(i, 20, 10)
		p.Close()
		require.NotContains(t, out.String(), "100%")
		require.Contains(t, out.String(), "99%")
	})
}

func jsonLines(t *testing.T, out string) (all []progressJSON) {
	t.Helper()
	for line := range strings.Lines(out) {
		var p progressJSON
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&p))
		all = append(all, p)
	}
	return all
}

func TestJSON_ALineASecondAndTheWholeOnlyAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		p := (&Streams{Err: &out, ErrTTY: true}).ProgressAs(ProgressJSON)
		i := p.Start("", -1)
		p.Plan(2, 100<<20)
		i.Resumed(40 << 20)
		run(i, 6, 10)
		i.End()
		i.End()
		p.Complete()
		all := jsonLines(t, out.String())
		require.InDelta(t, 50<<20, all[0].BytesDone, 1<<20)
		require.InDelta(t, 10<<20, all[0].Rate, 2<<20)
		require.InDelta(t, 5, all[0].Left, 2)
		require.Equal(t, progressJSON{
			Type: "progress", BytesDone: all[0].BytesDone, BytesTotal: 100 << 20, FilesTotal: 2, Rate: all[0].Rate, Left: all[0].Left, Resumed: 40 << 20, Elapsed: 1,
		}, all[0])
		last := len(all) - 1
		require.InDelta(t, 7, len(all), 1)
		for _, line := range all[:last] {
			require.Less(t, line.BytesDone, line.BytesTotal, "sent is not acknowledged")
			require.False(t, line.Complete)
		}
		require.Equal(t, progressJSON{
			Type: "progress", BytesDone: 100 << 20, BytesTotal: 100 << 20, FilesDone: 2, FilesTotal: 2, Rate: all[last].Rate, Resumed: 40 << 20, Elapsed: 6, Complete: true,
		}, all[last])
	})
}

func TestJSON_WhatIsNotKnownIsMinusOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		p := (&Streams{Err: &out}).ProgressAs(ProgressJSON)
		i := p.Start("", -1)
		p.Plan(1, -1)
		run(i, 2, 1)
		i.Moved(-(2 << 20)) // these have to be sent again
		time.Sleep(time.Second)
		i.Moved(0)
		p.Close()
		for _, line := range jsonLines(t, out.String()) {
			require.EqualValues(t, -1, line.BytesTotal)
			require.EqualValues(t, -1, line.Left)
			require.False(t, line.Complete)
			require.GreaterOrEqual(t, line.BytesDone, int64(0))
			require.GreaterOrEqual(t, line.Rate, int64(0))
		}
	})
}

func TestLog_AnOutageHasALineAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		p := (&Streams{Err: &out}).ProgressAs(ProgressAuto)
		p.Plan(1, 100<<20)
		i := p.Start("x", 100<<20)
		run(i, 5, 1)
		for range 900 { // 90 s
			p.Failing("server away (connection refused)", 5*time.Minute)
			time.Sleep(100 * time.Millisecond)
		}
		p.Working()
		require.Equal(t, "s3ctl: server away (connection refused); waiting for 1s, up to 5m\n"+
			"s3ctl: server away (connection refused); waiting for 1m1s, up to 5m\ns3ctl: back after 1m30s\ns3ctl: 4 of 100 MiB (4%), 0 of 1 file\n", out.String())
		p.Close()
	})
}

func TestSizes_HaveOneUnit(t *testing.T) {
	t.Parallel()
	for want, n := range map[string][2]int64{
		"0 of 0 B": {0, 0}, "7 of 999 B": {7, 999}, "0.99 of 1.00 KiB": {1023, 1024}, "0.99 of 1.00 GiB": {1022 << 20, 1 << 30},
		"549 of 1000 MiB": {550<<20 - 1, 1000 << 20}, "3.99 of 4.00 PiB": {4<<50 - 1, 4 << 50}, "1 of 4096 PiB": {1 << 50, 1 << 62},
	} {
		require.Equal(t, want, sizes(n[0], n[1], false))
	}
	require.Equal(t, "1.0 GiB", sizes(1<<30, -1, false))
	for want, d := range map[string]time.Duration{"0s": 0, "8s": 8 * time.Second, "1m": time.Minute, "1m20s": 80 * time.Second, "2h5m": 2*time.Hour + 5*time.Minute + 3*time.Second} {
		require.Equal(t, want, Duration(d))
	}
}

func TestCut_KeepsTheEndInColumns(t *testing.T) {
	t.Parallel()
	for columns, want := range map[int]string{0: "", 1: "…", 2: "…", 3: "…京", 4: "…京", 5: "…東京", 6: "日東京", 100: "日東京"} {
		require.Equal(t, want, cut("日東京", columns), columns)
	}
	for columns, want := range map[int]string{0: "", 1: "…", 3: "ab…", 6: "abcdef", 7: "abcdef"} {
		require.Equal(t, want, cutEnd("abcdef", columns), columns)
	}
}

func TestBar_ShowsResumedBytesButNotAsSpeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out screen
		b := newBar(&out, 0, false)
		i := b.Start("", -1)
		b.Plan(1, 1000<<20)
		i.Resumed(500 << 20)
		run(i, 5, 10)
		require.Contains(t, out.String(), "550 of 1000 MiB  10 MiB/s")
		require.Contains(t, out.String(), "55%")
		i.End()
		b.Complete()
		require.Contains(t, out.String(), "1000 of 1000 MiB")
	})
}
