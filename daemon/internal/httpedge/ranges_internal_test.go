package httpedge

import (
	"math/big"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var oneRange = regexp.MustCompile(`^(?i:bytes)=[ \t]*([0-9]*)-([0-9]*)[ \t]*$`)

// naiveRange reads a range with numbers of any size, and byte by byte.
func naiveRange(header string, size int64) (bytes []int64, partial, outside bool) {
	all := make([]int64, size)
	for i := range all {
		all[i] = int64(i)
	}
	m := oneRange.FindStringSubmatch(header)
	if m == nil || m[1] == "" && m[2] == "" {
		return all, false, false
	}
	number := func(s string) *big.Int { n, _ := new(big.Int).SetString(s, 10); return n }
	var picked []int64
	for _, i := range all {
		at := big.NewInt(i)
		switch {
		case m[1] == "" && new(big.Int).Add(at, number(m[2])).Cmp(big.NewInt(size)) >= 0,
			m[1] != "" && at.Cmp(number(m[1])) >= 0 && (m[2] == "" || at.Cmp(number(m[2])) <= 0):
			picked = append(picked, i)
		}
	}
	switch {
	case m[1] != "" && m[2] != "" && number(m[2]).Cmp(number(m[1])) < 0:
		return all, false, false
	case m[1] == "" && size == 0 && number(m[2]).Sign() > 0:
		return all, false, false
	}
	return picked, true, len(picked) == 0
}

func FuzzRangeHeader(f *testing.F) {
	for _, seed := range []string{"bytes=0-0", "bytes=5-", "bytes=-5", "bytes=-0", "bytes=9-2", "bytes=1-2,3-4", "BYTES= 1-2\t", "bytes=00000000000000000000001-2", "bytes=-99999999999999999999999", "", "bytes", "x=1-2"} {
		f.Add(seed, uint8(10))
		f.Add(seed, uint8(0))
	}
	f.Fuzz(func(t *testing.T, header string, size uint8) {
		want, partial, outside := naiveRange(header, int64(size))
		got, err := parseRange(header, int64(size))
		if outside {
			require.ErrorIs(t, err, store.OutOfRange)
			return
		}
		require.NoError(t, err)
		require.Equal(t, partial, got.Partial, "%q", header)
		require.EqualValues(t, len(want), got.Len, "%q", header)
		if got.Len > 0 {
			require.Equal(t, want[0], got.Off, "%q", header)
		}
	})
}
