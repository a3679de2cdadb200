package storage_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/data"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// overDataPort is a client of the node's data port.
func overDataPort(t *testing.T, address string, id store.NodeID) *data.Client {
	t.Helper()
	control, err := chunks.Dial(address, chunks.DialConfig{Node: id, JoinToken: token}) // which c closes
	require.NoError(t, err)
	c := data.Dial(address, data.DialConfig{GRPC: control, Node: id, JoinToken: token})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestNode_PassesTheSuiteOverItsDataPort(t *testing.T) {
	t.Parallel()
	chunktest.Run(t, func(tb testing.TB) chunk.Store {
		t, ok := tb.(*testing.T)
		require.True(tb, ok)
		p := start(t, nodeArgs(filepath.Join(t.TempDir(), "node"), gateway(t, mem.NewMetadata()))...)
		address, id := p.ready(t)
		return overDataPort(t, address, id)
	})
}

func TestNode_OffersItsDataPortWhenItJoins(t *testing.T) {
	t.Parallel()
	for plane, version := range map[string]int{data.Auto: data.Version, data.OnlyGRPC: 0} {
		meta := mem.NewMetadata()
		p := start(t, append(nodeArgs(filepath.Join(t.TempDir(), "node"), gateway(t, meta)), "--data-plane", plane)...)
		address, id := p.ready(t)
		view, err := meta.Members(t.Context())
		require.NoError(t, err)
		require.Equal(t, version, view.Nodes[0].DataPort)
		c := overDataPort(t, address, id) // without a data port, over gRPC
		chunk := chunktest.NewID()
		chunktest.Put(t, c, chunk, chunktest.Bytes(1, 100_000))
		got, err := chunktest.Read(t.Context(), c, chunk)
		require.NoError(t, err)
		require.Equal(t, chunktest.Bytes(1, 100_000), got)
	}
}

// Units of this size are sent from their file, without a check at the node.
const sentFromFile = 256 << 10

// putLong stores a chunk of such units and returns its content.
func putLong(t *testing.T, c chunk.Store, id store.ChunkID, units int) []byte {
	t.Helper()
	content := bytes.Repeat(chunktest.Bytes(7, 1<<10), units*sentFromFile>>10)
	w, err := c.Create(t.Context(), chunk.Spec{ID: id, UnitSize: sentFromFile, SizeHint: int64(len(content))})
	require.NoError(t, err)
	defer w.Abort()
	for i := range units {
		require.NoError(t, w.Append(chunk.NewUnit(content[i*sentFromFile:(i+1)*sentFromFile], nil)))
	}
	_, err = w.Commit(chunk.Label{Bucket: "b", Key: "k"})
	require.NoError(t, err)
	return content
}

// damage changes every file of a node that has a byte at the offset.
func damage(t *testing.T, dir string, change func(f *os.File, size int64)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil || info.Size() < sentFromFile {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		change(f, info.Size())
		return nil
	}))
}

// A flipped bit and a file that became shorter are found by the gateway, which asks the node, which then finds them as well.
func TestNode_DamageIsToldOverItsDataPort(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(f *os.File, size int64){
		"a flipped bit": func(f *os.File, _ int64) {
			var b [1]byte
			_, err := f.ReadAt(b[:], 5*sentFromFile/2)
			require.NoError(t, err)
			b[0] ^= 0x10
			_, err = f.WriteAt(b[:], 5*sentFromFile/2)
			require.NoError(t, err)
		},
		"zeros at the end": func(f *os.File, size int64) {
			require.NoError(t, f.Truncate(5*sentFromFile/2))
			require.NoError(t, f.Truncate(size))
		},
	} {
		for form, units := range map[string]int{"packed": 10, "a file": 20} {
			t.Run(what+", "+form, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "node")
				p := start(t, nodeArgs(dir, gateway(t, mem.NewMetadata()))...)
				address, id := p.ready(t)
				c := overDataPort(t, address, id)
				chunk := chunktest.NewID()
				content := putLong(t, c, chunk, units)
				got, err := chunktest.Read(t.Context(), c, chunk)
				require.NoError(t, err)
				require.True(t, bytes.Equal(content, got))
				damage(t, dir, change)
				_, err = chunktest.Read(t.Context(), c, chunk)
				require.ErrorIs(t, err, store.Corrupt)
				require.NotContains(t, err.Error(), "received from", "the node itself says so")
			})
		}
	}
}
