package transfer

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A rate limit that the user chose never runs into the deadline of a part.
func TestDeadline_LeavesRoomForALimit(t *testing.T) {
	t.Parallel()
	free := &Manager{Lanes: NewLanes(8)}
	slow := &Manager{Lanes: NewLanes(8), Limit: NewLimit(10_000)}
	require.Less(t, free.deadline(64*mib), time.Hour)
	// Eight concurrent parts at 10 kB/s: each gets an eighth.
	require.Greater(t, slow.deadline(64*mib).Seconds(), float64(64*mib)/(10_000/8))
	require.Equal(t, free.deadline(64*mib), (&Manager{Lanes: NewLanes(8), Limit: NewLimit(1 << 30)}).deadline(64*mib), "a high limit changes nothing")
}

// With a low limit, no connection idles for long.
func TestLimit_EachOfManyMovesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &Manager{Limit: NewLimit(8 << 10)}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r, buf := m.limited(t.Context(), bytes.NewReader(make([]byte, 64<<10))), make([]byte, 256<<10)
				for left := 64 << 10; left > 0; {
					began := time.Now()
					n, err := r.Read(buf)
					if err != nil || time.Since(began) > 10*time.Second {
						t.Error(err, time.Since(began))
						return
					}
					left -= n
				}
			})
		}
		wg.Wait()
	})
}
