package attr

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Bounds of tags count characters, not bytes.
func TestBoundsOfTags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tags  map[string]string
		valid bool
	}{
		"none":       {nil, true},
		"longest":    {map[string]string{strings.Repeat("水", MaxTagName): strings.Repeat("水", MaxTagValue)}, true},
		"name":       {map[string]string{strings.Repeat("水", MaxTagName+1): ""}, false},
		"value":      {map[string]string{"a": strings.Repeat("水", MaxTagValue+1)}, false},
		"empty name": {map[string]string{"": "a"}, false},
		"not UTF-8":  {map[string]string{"a": "\xff"}, false},
	} {
		require.Equal(t, c.valid, Set{Tags: c.tags}.Validate() == nil, name)
	}
}

// A clone shares nothing that a caller could change.
func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	a := Set{
		Checksums:  Checksums{{Algorithm: ChecksumCRC32, Value: []byte{1, 2, 3, 4}}},
		Tags:       map[string]string{"a": "b"},
		Encryption: Encryption{Algorithm: "x", Key: []byte{1}},
	}
	c := a.Clone()
	require.Equal(t, a, c)
	c.Checksums[0].Value[0], c.Tags["a"], c.Encryption.Key[0] = 9, "c", 9
	require.Equal(t, byte(1), a.Checksums[0].Value[0])
	require.Equal(t, "b", a.Tags["a"])
	require.Equal(t, byte(1), a.Encryption.Key[0])
	require.True(t, Set{}.Clone().IsZero())
}
