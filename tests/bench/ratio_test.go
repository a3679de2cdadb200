package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	s := spreadOf([]float64{1.2, 0.8, 1.0, 0.9, 1.1})
	require.InDelta(t, 1.0, s.Median, 1e-9)
	require.InDelta(t, 0.9, s.Low, 1e-9)
	require.InDelta(t, 1.1, s.High, 1e-9)
	require.Equal(t, []float64{1.2, 0.8, 1.0, 0.9, 1.1}, s.All, "in the order of the pairs")
	even := spreadOf([]float64{1, 2, 3, 4})
	require.InDelta(t, 2.5, even.Median, 1e-9)
	require.InDelta(t, 1.75, even.Low, 1e-9)
	require.InDelta(t, 3.25, even.High, 1e-9)
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	same, noisy := Spread{Median: 1, Low: 0.99, High: 1.01}, Spread{Median: 0.9, Low: 0.7, High: 1.05}
	slow, fast := Spread{Median: 0.9, Low: 0.88, High: 0.92}, Spread{Median: 1.3, Low: 1.2, High: 1.4}
	require.Equal(t, "ok", verdict(same, same))
	require.Equal(t, "ok", verdict(noisy, same), "1 is between the quartiles")
	require.Equal(t, "ok", verdict(fast, slow), "faster, and less CPU")
	require.Equal(t, "SLOWER", verdict(slow, same))
	require.Equal(t, "MORE CPU", verdict(same, fast))
	require.Equal(t, "SLOWER, MORE CPU", verdict(slow, fast))
	require.Equal(t, "ok", verdict(Spread{Median: 0.95, Low: 0.94, High: 0.96}, Spread{Median: 1.05, Low: 1.04, High: 1.06}))
}
