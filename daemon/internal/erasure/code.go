package erasure

import (
	"github.com/klauspost/reedsolomon"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Code encodes and reconstructs stripes of K+M units of equal length with a
// systematic Reed-Solomon code over GF(2^8): any K units determine the others. It cannot detect
// a wrong unit; callers check every unit's CRC32C first. Safe for concurrent use.
type Code struct {
	k, m int
	rs   reedsolomon.Encoder // nil where there is nothing to compute: copies, or no parity
}

// New makes a code. Errors: Invalid.
func New(k, m int) (*Code, error) {
	if err := (Layout{K: k, M: m, UnitSize: 1}).Validate(); err != nil {
		return nil, err
	}
	c := &Code{k: k, m: m}
	if k == 1 || m == 0 {
		return c, nil
	}
	// One goroutine: requests run in parallel already.
	rs, err := reedsolomon.New(k, m, reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(true))
	if err != nil {
		return nil, store.Errorf(store.Internal, "Reed-Solomon %d+%d: %w", k, m, err)
	}
	c.rs = rs
	return c, nil
}

// Encode computes units[K:] from units[:K]. All K+M units have the same length.
// With K = 1 the copies share memory: units[1:] are set to units[0].
func (c *Code) Encode(units [][]byte) error {
	if len(units) != c.k+c.m {
		return store.Errorf(store.Invalid, "%d units for a %d+%d code", len(units), c.k, c.m)
	}
	switch {
	case c.k == 1:
		for i := range units {
			units[i] = units[0]
		}
		return nil
	case c.rs == nil:
		return nil
	}
	if err := c.rs.Encode(units); err != nil {
		return store.Errorf(store.Internal, "encode: %w", err)
	}
	return nil
}

// Reconstruct computes the units that are missing (length 0) and wanted from any
// K that are present. A missing unit with enough capacity is filled in place;
// otherwise it is allocated. With K = 1 a missing unit shares the memory of one that is
// present. With fewer than K units present the error is Corrupt.
func (c *Code) Reconstruct(units [][]byte, want []bool) error {
	if len(units) != c.k+c.m || len(want) != len(units) {
		return store.Errorf(store.Invalid, "%d units and %d flags for a %d+%d code", len(units), len(want), c.k, c.m)
	}
	there, missing := -1, 0
	count := 0
	for i, u := range units {
		if len(u) > 0 {
			count++
			there = i
		} else if want[i] {
			missing++
		}
	}
	switch {
	case missing == 0:
		return nil
	case count < c.k:
		return store.Errorf(store.Corrupt, "%d of %d units are left, %d are needed", count, c.k+c.m, c.k)
	case c.k == 1:
		for i := range units {
			if len(units[i]) == 0 && want[i] {
				units[i] = units[there]
			}
		}
		return nil
	}
	if err := c.rs.ReconstructSome(units, want); err != nil {
		return store.Errorf(store.Internal, "rebuild: %w", err)
	}
	return nil
}
