package data

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

var update = flag.Bool("update", false, "write the golden files")

// example is a head with every field set.
func example() head {
	return head{
		op: opPut, number: 0x01020304, chunk: store.ChunkID{Part: store.PartID{1, 2, 3, 15: 16}, Index: 9}, node: store.NodeID{0xA, 15: 0xB},
		unitSize: 256 << 10, first: 0x1112131415161718, count: 5, label: 7, crc: 0xCAFEBABE, time: 1_800_000_000, request: "request-1",
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	nonce := []byte("0123456789abcdef")
	h := example()
	stored := chunk.Info{Size: 1, UnitSize: 2, Sum: 3, StoredAt: 4}
	for name, b := range map[string][]byte{
		"head":   h.append(nil, newKeys("join token 123456").at(h.time), nonce),
		"answer": answer{kind: answerUnit, number: 0x01020304, length: 0x05060708, crc: 0x090A0B0C}.append(nil),
		"stored": appendStored(nil, stored, []byte("label")),
	} {
		file := filepath.Join("testdata", name+".hex")
		text := hex.Dump(b)
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), text, name)
	}
}

func TestHead_IsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	h := example()
	require.Equal(t, h, parseHead(h.append(nil, nil, nil)))
	h.request = "two\nlines"
	require.Empty(t, parseHead(h.append(nil, nil, nil)).request, "it could forge a log line")
}

func TestKeys_ProofsAreOfOnePeriodConnectionAndToken(t *testing.T) {
	t.Parallel()
	k, nonce, now := newKeys("join token 123456"), []byte("0123456789abcdef"), time.Unix(1_800_000_000, 0)
	h := example()
	b := h.append(nil, k.at(h.time), nonce)
	require.True(t, k.proven(b, nonce, h.time, now))
	require.True(t, k.proven(b, nonce, h.time, now.Add(maxAge*time.Second)))
	require.False(t, k.proven(b, nonce, h.time, now.Add((maxAge+1)*time.Second)))
	require.False(t, k.proven(b, nonce, h.time, now.Add(-(maxAge+1)*time.Second)))
	require.False(t, k.proven(b, []byte("0123456789abcdeF"), h.time, now))
	require.False(t, newKeys("join token 123457").proven(b, nonce, h.time, now))
	for i := range headSize {
		changed := bytes.Clone(b)
		changed[i] ^= 1
		require.False(t, k.proven(changed, nonce, h.time, now), "byte %d", i)
	}
	// The key of a period is not that of the next.
	for _, at := range []int64{keyLife - 1, keyLife, 5 * keyLife, 4 * keyLife, -1} {
		require.Equal(t, at/keyLife, k.at(at).period)
	}
	require.NotEqual(t, k.at(keyLife-1).appendProof(nil, nonce, nil), k.at(keyLife).appendProof(nil, nonce, nil))
	require.True(t, newKeys("").proven(b, nonce, 0, now), "without a join token there is no secret")
}

func FuzzParse(f *testing.F) {
	h := example()
	f.Add(h.append(nil, nil, nil))
	f.Add(answer{kind: answerStored, length: storedSize}.append(make([]byte, 0, headSize)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(b, make([]byte, headSize)...)[:headSize]
		h := parseHead(b)
		if h.check() == nil && h.op == opPut {
			require.LessOrEqual(t, h.count, uint64(chunk.MaxUnitSize))
			require.LessOrEqual(t, h.label, uint32(maxLabel))
		}
		if a, err := parseAnswer(b); err == nil {
			require.LessOrEqual(t, a.length, uint32(chunk.MaxUnitSize))
			require.True(t, a.kind != answerStored || a.length >= storedSize)
		}
		parseStored(b)
		_ = decodeFailure(b)
	})
}
