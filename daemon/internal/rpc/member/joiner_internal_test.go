package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJoiner_IntervalIsTheShorterOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ own, cluster, want time.Duration }{
		{0, 0, DefaultHeartbeat},
		{time.Second, 0, time.Second},
		{0, time.Second, time.Second},
		{time.Second, time.Minute, time.Second},
		{time.Minute, time.Second, time.Second},
	} {
		j := &Joiner{config: JoinerConfig{Heartbeat: c.own}}
		require.Equal(t, c.want, j.interval(c.cluster), "%v", c)
	}
}
