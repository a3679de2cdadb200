package pace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/pace"
)

func TestPace_FollowsAChangeWithinItsRange(t *testing.T) {
	t.Parallel()
	p := pace.Pace{Range: 10 * time.Second, Step: 500 * time.Millisecond}
	now, moved := time.Unix(0, 0), int64(0)
	require.Zero(t, p.Rate(0, now))
	move := func(tenths int, each int64) {
		for range tenths {
			now, moved = now.Add(100*time.Millisecond), moved+each
			p.See(moved, now)
		}
	}
	move(1000, 100) // 100 s at 1000 bytes a second
	require.InDelta(t, 1000, p.Rate(moved, now), 20)
	move(120, 10) // 12 s at a tenth of it
	require.InDelta(t, 100, p.Rate(moved, now), 10)
	require.InDelta(t, 50, p.Rate(moved, now.Add(5*time.Second)), 5, "and it falls while nothing moves")
	require.Zero(t, p.Rate(0, now), "what was taken back is not negative speed")
	now = now.Add(time.Hour)
	require.Zero(t, p.Rate(moved, now), "marks go by their age: a pause is not in the rate")
	move(20, 5000)
	require.InDelta(t, 50_000, p.Rate(moved, now), 5000)
	p.Restart(moved-10_000, now)
	require.Zero(t, p.Rate(moved-10_000, now), "a step back begins again")
}
