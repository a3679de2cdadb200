package stripe

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHedgeFollowsThe95thPercentile(t *testing.T) {
	t.Parallel()
	var l latency
	require.EqualValues(t, 100, int64(l.hedge(100)))
	for i := range 256 {
		l.add(1000)
		if i%32 == 0 {
			l.add(1 << 40) // the few slow ones do not decide
		}
	}
	require.EqualValues(t, 4*1000, int64(l.hedge(100)))
}
