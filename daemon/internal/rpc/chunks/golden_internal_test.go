package chunks

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The golden files fix the encoding on the wire: a change of one of them affects nodes and
// gateways of different versions that talk to each other.
func TestWireFormat(t *testing.T) {
	t.Parallel()
	part, err := store.ParsePartID("00112233-4455-4677-8899-aabbccddeeff")
	require.NoError(t, err)
	file, err := store.ParseFileID("01890a5d-ac96-774b-bcce-b302099a8057")
	require.NoError(t, err)
	spec := specToWire(chunk.Spec{ID: store.ChunkID{Part: part, Index: 7}, UnitSize: chunk.DefaultUnitSize, SizeHint: 1 << 30})
	label := labelToWire(chunk.Label{
		File: file, Bucket: "photos", Key: "2026/ä.jpg", ContentType: "image/jpeg", CreatedAt: 1_700_000_000_000_000,
		FileSize: -1, PartNumber: 2, PartOffset: 5 << 30, PartSize: 1 << 30, PartCRC64: 0x0123456789abcdef, K: 6, M: 4, UnitSize: chunk.DefaultUnitSize,
	})
	u := chunk.NewUnit([]byte("the bytes of a unit"), nil)
	fault := rpc.ToStatus(&store.Error{Op: "chunkfs.Append", Kind: store.NoSpace, Item: "n1", Msg: "the disk is full", Hint: "Add a node."})
	for name, b := range map[string][]byte{
		"first":  marshalled(t, &frame{spec: spec, unit: u}),
		"middle": marshalled(t, &frame{unit: u}),
		"last":   marshalled(t, &frame{label: label}),
		"small":  marshalled(t, &frame{spec: spec, label: label, unit: u}),
		"info":   protobuf(t, infoToWire(chunk.Info{ID: store.ChunkID{Part: part}, Size: 19, UnitSize: 64, Sum: store.ChunkSum(0).Add(u.CRC), StoredAt: 1_700_000_000})),
		"error":  protobuf(t, status.Convert(fault).Proto()),
		"token":  []byte(rpc.DataPlane.Token("swordfish") + "\n" + rpc.Membership.Token("swordfish")),
	} {
		golden(t, name, b)
	}
}

func marshalled(t *testing.T, f *frame) []byte {
	t.Helper()
	s, err := newCodec(bufpool.New()).Marshal(f)
	require.NoError(t, err)
	defer s.Free()
	return s.Materialize()
}

func protobuf(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	require.NoError(t, err)
	return b
}

// golden compares b with its file, a hex dump.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join("testdata", "wire", name+".hex")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(hex.Dump(b)), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(want)), strings.TrimSpace(hex.Dump(b)), name)
}
