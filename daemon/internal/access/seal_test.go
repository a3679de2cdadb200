package access

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// FuzzOpen opens arbitrary sealed secrets: only what this key sealed for this access key can be opened.
func FuzzOpen(f *testing.F) {
	m, err := ParseMasterKey("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	require.NoError(f, err)
	good := m.Seal("RSKEY", "the secret")
	f.Add("RSKEY", good)
	f.Add("RSOTHER", good)
	f.Add("RSKEY", good[:len(good)-1])
	f.Add("", []byte{sealVersion})
	f.Fuzz(func(t *testing.T, key string, sealed []byte) {
		secret, err := m.Open(key, sealed)
		if err == nil {
			require.Equal(t, "RSKEY", key)
			require.Equal(t, "the secret", secret)
			require.True(t, bytes.Equal(good, sealed))
			return
		}
		require.Contains(t, []store.Kind{store.Corrupt, store.Conflict}, store.KindOf(err))
		require.Empty(t, secret)
		require.NotEmpty(t, store.HintOf(err))
	})
}
