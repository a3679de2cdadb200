package main

import (
	"fmt"
	"math"
	"slices"
)

// Spread is the median of ratios, new to old, and their quartiles.
type Spread struct {
	Median float64   `json:"median"`
	Low    float64   `json:"lower_quartile"`
	High   float64   `json:"upper_quartile"`
	All    []float64 `json:"all"` // in the order of the pairs
}

func spreadOf(ratios []float64) Spread {
	sorted := slices.Sorted(slices.Values(ratios))
	return Spread{quantile(sorted, 0.5), quantile(sorted, 0.25), quantile(sorted, 0.75), ratios}
}

// quantile interpolates between the two nearest of sorted values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (sorted[above]-sorted[below])*(at-float64(below))
}

// The tolerated changes of a median.
const (
	leastRate = 0.95
	mostCPU   = 1.05
)

// rateOK and cpuOK judge the median, unless 1 is between the quartiles: the difference is then noise.
func (s Spread) rateOK() bool { return s.Median >= leastRate || s.includesOne() }

func (s Spread) cpuOK() bool { return s.Median <= mostCPU || s.includesOne() }

func (s Spread) includesOne() bool { return s.Low <= 1 && s.High >= 1 }

func (s Spread) String() string {
	return fmt.Sprintf("%.3f (%.3f to %.3f)", s.Median, s.Low, s.High)
}

// verdict names what is worse.
func verdict(rate, cpu Spread) string {
	switch {
	case rate.rateOK() && cpu.cpuOK():
		return "ok"
	case cpu.cpuOK():
		return "SLOWER"
	case rate.rateOK():
		return "MORE CPU"
	}
	return "SLOWER, MORE CPU"
}
