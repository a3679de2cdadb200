package chunks

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// owner counts the releases of a unit.
type owner struct{ released atomic.Int32 }

func (o *owner) Release() { o.released.Add(1) }
func (o *owner) Abandon() { o.released.Add(1) }

// asMessage returns the generated message that corresponds to f.
func asMessage(f *frame) *storagev1.PutChunkRequest {
	m := &storagev1.PutChunkRequest{Spec: f.spec, Label: f.label}
	if len(f.unit.Data) > 0 {
		m.Crc32C, m.Data = f.unit.CRC, f.unit.Data
	}
	return m
}

// split cuts b into buffers at the given places, as the transport does.
func split(b []byte, at ...int) mem.BufferSlice {
	var s mem.BufferSlice
	from := 0
	for _, to := range append(at, len(b)) {
		s = append(s, mem.SliceBuffer(b[from:to]))
		from = to
	}
	return s
}

func drawFrame(t *rapid.T) *frame {
	f := &frame{}
	if rapid.Bool().Draw(t, "spec") {
		f.spec = specToWire(chunk.Spec{ID: store.ChunkID{Part: store.NewPartID()}, UnitSize: rapid.IntRange(1, 1<<20).Draw(t, "unit size")})
	}
	if rapid.Bool().Draw(t, "label") {
		f.label = labelToWire(chunk.Label{Key: store.Key(rapid.String().Draw(t, "key")), PartOffset: -1, ContentType: "\xff"})
	}
	size := rapid.SampledFrom([]int{0, 1, 100, copyBelow - 1, copyBelow, 20_000}).Draw(t, "size")
	f.unit = chunk.Unit{Data: bytes.Repeat([]byte{7}, size), CRC: rapid.Uint32().Draw(t, "crc")}
	return f
}

// The standard codec is the oracle, in both directions.
func TestCodec_AgreesWithProtobuf(t *testing.T) {
	t.Parallel()
	ours, stock := newCodec(bufpool.New()), encoding.GetCodecV2("proto")
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t)
		own := &owner{}
		f.unit.Owner = own
		want := asMessage(&frame{spec: f.spec, label: f.label, unit: chunk.Unit{Data: bytes.Clone(f.unit.Data), CRC: f.unit.CRC}})

		sent, err := ours.Marshal(f)
		require.NoError(t, err)
		require.True(t, f.taken)
		var got storagev1.PutChunkRequest
		require.NoError(t, stock.Unmarshal(sent, &got))
		require.True(t, proto.Equal(want, &got), "ours to stock")
		sent.Free()
		require.EqualValues(t, 1, own.released.Load())

		b, err := proto.Marshal(want)
		require.NoError(t, err)
		cuts := []int{}
		if len(b) > 1 {
			cuts = append(cuts, rapid.IntRange(0, len(b)).Draw(t, "cut"))
		}
		back := new(frame)
		require.NoError(t, ours.Unmarshal(split(b, cuts...), back))
		require.True(t, proto.Equal(want, asMessage(back)), "stock to ours")
		back.unit.Release()
	})
}

func TestCodec_OtherMessagesGoToTheStockCodec(t *testing.T) {
	t.Parallel()
	c := newCodec(bufpool.New())
	require.Equal(t, "proto", c.Name())
	b, err := c.Marshal(&storagev1.StatChunkRequest{ChunkId: "x"})
	require.NoError(t, err)
	var got storagev1.StatChunkRequest
	require.NoError(t, c.Unmarshal(b, &got))
	require.Equal(t, "x", got.GetChunkId())
	_, err = c.Marshal(7)
	require.Error(t, err)
	require.Error(t, c.Unmarshal(split([]byte{0xff}), &frame{}))
}

// When encoding fails, the unit remains with the caller.
func TestCodec_FailureTakesNothing(t *testing.T) {
	t.Parallel()
	f := &frame{label: labelToWire(chunk.Label{Key: "\xff"}), unit: chunk.NewUnit(make([]byte, copyBelow), &owner{})}
	_, err := newCodec(bufpool.New()).Marshal(f)
	require.Error(t, err)
	require.False(t, f.taken)
}

// A unit of copyBelow bytes or more is not copied when it is sent, and neither when it is
// received in one buffer.
func TestCodec_PassesByReference(t *testing.T) {
	t.Parallel()
	c := newCodec(bufpool.New())
	data := make([]byte, copyBelow)
	own := &owner{}
	sent, err := c.Marshal(&frame{unit: chunk.NewUnit(data, own)})
	require.NoError(t, err)
	require.Len(t, sent, 2)
	require.Same(t, &data[0], &sent[1].ReadOnlyData()[0])
	sent.Ref() // as the transport does
	sent.Free()
	require.Zero(t, own.released.Load(), "the transport still holds it")
	sent.Free()
	require.EqualValues(t, 1, own.released.Load())

	b, err := proto.Marshal(&storagev1.GetChunkResponse{Data: data})
	require.NoError(t, err)
	f := new(frame)
	require.NoError(t, c.Unmarshal(split(b), f))
	require.Same(t, &b[len(b)-1], &f.unit.Data[len(data)-1])
	require.Equal(t, len(f.unit.Data), cap(f.unit.Data), "what follows in the buffer is out of reach")
}

func FuzzFrame(f *testing.F) {
	for _, m := range []*storagev1.PutChunkRequest{
		{},
		{Data: []byte("x"), Crc32C: 1},
		{Spec: &storagev1.ChunkSpec{ChunkId: "a", UnitSize: 5}, Label: &storagev1.Label{Key: "k"}, Data: []byte("xyz")},
	} {
		b, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(b)
		f.Add(append(b, b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want storagev1.PutChunkRequest
		bad := proto.Unmarshal(b, &want)
		got := new(frame)
		err := got.decode(b)
		require.Equal(t, bad == nil, err == nil, "protobuf says %v, the frame says %v", bad, err)
		if err != nil {
			return
		}
		m := &storagev1.PutChunkRequest{Spec: got.spec, Label: got.label, Crc32C: got.unit.CRC, Data: got.unit.Data}
		require.Empty(t, cmp.Diff(&want, m, protocmp.Transform(), protocmp.IgnoreUnknown()))
	})
}
