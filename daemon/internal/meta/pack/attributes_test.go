package pack

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func someAttributes() attr.Set {
	return attr.Set{
		Checksums: attr.Checksums{{Algorithm: attr.ChecksumCRC32, Parts: 2, Value: []byte{1, 2, 3, 4}}}, Tags: map[string]string{"b": "", "a": "c"},
		Owner: "key", Encryption: attr.Encryption{Algorithm: "A", KeyID: "B", Key: []byte{9}},
		Lock: attr.Lock{Mode: attr.Compliance, Until: time.UnixMicro(300).UTC(), Hold: true},
	}
}

func TestAttributesAreStable(t *testing.T) {
	t.Parallel()
	b := Attributes(someAttributes())
	require.Equal(t, "0107"+"010204"+"01020304"+"0203"+"016163"+"0202"+"0162"+"0303"+"6b6579"+"0405"+"01410142"+"09"+"0503"+"02"+"ac02"+"0600", hex.EncodeToString(b))
	back, err := ReadAttributes(b)
	require.NoError(t, err)
	require.Equal(t, someAttributes(), back)
	require.Nil(t, Attributes(attr.Set{}))
	back, err = ReadAttributes(nil)
	require.NoError(t, err)
	require.True(t, back.IsZero())
	for _, malformed := range []string{"05", "0500", "01", "0107", "01020101", "0200", "020105", "03ff", "0400", "040101", "04020141", "0403000041", "050102", "05020205ff", "0502000a", "0502030a", "050402ffffff", "060101"} {
		b, err := hex.DecodeString(malformed)
		require.NoError(t, err)
		_, err = ReadAttributes(b)
		require.ErrorIs(t, err, store.Internal, malformed)
	}
}

func FuzzReadAttributes(f *testing.F) {
	f.Add(Attributes(someAttributes()))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ReadAttributes(b)
		if err != nil {
			require.ErrorIs(t, err, store.Internal)
			return
		}
		again, err := ReadAttributes(Attributes(a))
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}
