package term

import (
	"bytes"
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
		s := &Streams{Err: &bytes.Buffer{}, ErrTTY: tty}
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
func run(p *Progress, seconds int, mibPerSecond int64) {
	for range seconds * 10 {
		time.Sleep(100 * time.Millisecond)
		p.Moved(mibPerSecond << 20 / 10)
	}
}

func TestLog_SaysNothingOfWhatIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := (&Streams{Err: &out}).ProgressAs(ProgressAuto)
		p.Plan(1, 90<<20)
		run(p, 9, 10)
		p.Finished()
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
		var out bytes.Buffer
		p := (&Streams{Err: &out}).ProgressAs(ProgressLog)
		p.Plan(2, 3000<<20)
		p.Resumed(300 << 20)
		run(p, 50, 30) // a tenth takes ten seconds
		p.Finished()
		run(p, 120, 5) // a tenth takes a minute
		p.Moved(600 << 20)
		require.NotContains(t, out.String(), "100%", "sent is not acknowledged")
		p.Finished()
		p.Complete()
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		require.Equal(t, "s3ctl: 600 MiB of 2.9 GiB (20%), 0 of 2 files, 30 MiB/s, 1m20s left", lines[0])
		require.Len(t, lines, 5+2+1, out.String())
		require.Equal(t, "s3ctl: 2.3 GiB of 2.9 GiB (80%), 1 of 2 files, 5.0 MiB/s, 2m0s left", lines[6])
		require.Contains(t, lines[7], "2.9 GiB of 2.9 GiB (100%), 2 of 2 files")
		p.Moved(1)
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
		var out bytes.Buffer
		p := (&Streams{Err: &out}).ProgressAs(ProgressLog)
		p.Plan(1, 200<<20)
		run(p, 20, 10)
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
		var out bytes.Buffer
		p := (&Streams{Err: &out, ErrTTY: true}).ProgressAs(ProgressJSON)
		p.Plan(2, 100<<20)
		p.Resumed(40 << 20)
		run(p, 6, 10)
		p.Finished()
		p.Finished()
		p.Complete()
		all := jsonLines(t, out.String())
		require.Equal(t, progressJSON{"progress", 50 << 20, 100 << 20, 0, 2, 10 << 20, 5, 40 << 20, false}, all[0])
		last := len(all) - 1
		require.InDelta(t, 7, len(all), 1)
		for _, line := range all[:last] {
			require.Less(t, line.BytesDone, line.BytesTotal, "sent is not acknowledged")
			require.False(t, line.Complete)
		}
		require.Equal(t, progressJSON{"progress", 100 << 20, 100 << 20, 2, 2, all[last].Rate, 0, 40 << 20, true}, all[last])
	})
}

func TestJSON_WhatIsNotKnownIsMinusOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := (&Streams{Err: &out}).ProgressAs(ProgressJSON)
		p.Plan(1, -1)
		run(p, 2, 1)
		p.Moved(-(2 << 20)) // these have to be sent again
		time.Sleep(time.Second)
		p.Moved(0)
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

func TestPace_FollowsAChangeWithinSeconds(t *testing.T) {
	t.Parallel()
	var p pace
	now, moved := time.Unix(0, 0), int64(0)
	require.Zero(t, p.rate(0, now))
	for range 1000 { // 100 s at 1000 bytes a second
		now, moved = now.Add(100*time.Millisecond), moved+100
		p.see(moved, now)
	}
	require.InDelta(t, 1000, p.rate(moved, now), 20)
	for range 120 { // 12 s at a tenth of it
		now, moved = now.Add(100*time.Millisecond), moved+10
		p.see(moved, now)
	}
	require.InDelta(t, 100, p.rate(moved, now), 10)
	require.InDelta(t, 50, p.rate(moved, now.Add(10*time.Second)), 10, "and it falls while nothing moves")
	require.LessOrEqual(t, len(p.seen), paceMarks)
	require.Zero(t, p.rate(0, now), "what was taken back is not negative speed")
}

func TestBar_ShowsResumedBytesButNotAsSpeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := newBar(&out, 0)
		b.Plan(1, 1000<<20)
		b.Resumed(500 << 20)
		run(b, 5, 10)
		require.Contains(t, out.String(), "550 MiB of 1000 MiB  10 MiB/s  45s")
		require.Contains(t, out.String(), "55%")
		b.Finished()
		b.Complete()
		require.Contains(t, out.String(), "1/1  1000 MiB of 1000 MiB")
	})
}
