package tus

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestMetadata_Limits(t *testing.T) {
	t.Parallel()
	value := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", n))) }
	pairs, err := parseMetadata("filename " + value(1024) + ",note " + value(1012))
	require.NoError(t, err)
	require.Len(t, pairs, 2)
	for _, large := range []string{
		"filename " + value(1024) + ",note " + value(1013),
		"a " + value(40_000),
		strings.Repeat("x", maxMetadata+1),
		"a ," + strings.Repeat(" ", maxMetadataHeader) + "b",
	} {
		_, err := parseMetadata(large)
		require.ErrorIs(t, err, store.Invalid)
		require.Equal(t, "metadata_size", store.LimitOf(err))
	}
}

// What is accepted reads the same when it is written again, and is within the limits.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{"", "a", "a ", "a YQ==", "a YQ==,b", "a YQ==,a YQ==", " a  YQ== , b ", "a YQ", ",", "a b c", "é w6k="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		pairs, err := parseMetadata(header)
		if err != nil {
			require.ErrorIs(t, err, store.Invalid)
			return
		}
		var again []string
		total := 0
		for key, value := range pairs {
			if value == "" {
				again = append(again, key)
			} else {
				again = append(again, key+" "+base64.StdEncoding.EncodeToString([]byte(value)))
			}
			total += len(key) + len(value)
		}
		require.LessOrEqual(t, total, maxMetadata)
		same, err := parseMetadata(strings.Join(again, ","))
		require.NoError(t, err)
		require.Equal(t, pairs, same)
	})
}

func TestTag_SurvivesInMetadata(t *testing.T) {
	t.Parallel()
	for _, kept := range []tag{{}, {Metadata: "a YQ=="}, {Concat: partial}, {Metadata: "a", Concat: "final;/tus/1 https://x/tus/2"}} {
		require.Equal(t, kept, tagOf(kept.meta()))
	}
	require.Nil(t, tag{}.meta())
	require.Zero(t, tagOf(map[string]string{"mtime": "x"}))
}
