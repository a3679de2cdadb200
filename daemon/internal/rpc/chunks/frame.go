package chunks

import (
	"errors"
	"slices"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// Field numbers that PutChunkRequest, PutSmallChunkRequest and GetChunkResponse share.
const (
	fieldSpec  protowire.Number = 1
	fieldLabel protowire.Number = 2
	fieldCRC   protowire.Number = 3
	fieldData  protowire.Number = 4
)

// copyBelow is the size in bytes below which a unit is copied into its message: that is
// cheaper than passing it by reference, and releases the unit at once.
const copyBelow = 16 << 10

// frame is one of the three messages that carry a unit, with the unit's bytes separate.
// The codec encodes it as the protobuf message.
type frame struct {
	spec  *storagev1.ChunkSpec
	label *storagev1.Label
	unit  chunk.Unit // no unit if Data is empty

	lending *lending // sending: tracks the unit while the transport holds it; nil: see lending.lend
	taken   bool     // sending: the codec took over the unit
}

// CarriesUnit implements rpc.UnitMessage.
func (*frame) CarriesUnit() {}

// codec encodes frames without copying their units, and everything else with the standard
// codec, whose name it has.
type codec struct {
	encoding.CodecV2 // the standard one
	buffers          *bufpool.Pool
}

func newCodec(b *bufpool.Pool) codec { return codec{rpc.Protobuf(), b} }

// Marshal implements encoding.CodecV2. On success it takes over a frame's unit.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	head, err := f.encodeHead()
	if err != nil {
		return nil, err
	}
	f.taken = true
	switch {
	case len(f.unit.Data) == 0:
		f.unit.Release()
		return mem.BufferSlice{mem.SliceBuffer(head)}, nil
	case len(f.unit.Data) < copyBelow:
		defer f.unit.Release()
		b := c.buffers.Get(len(head) + len(f.unit.Data))
		copy((*b)[copy(*b, head):], f.unit.Data)
		return mem.BufferSlice{mem.NewBuffer(b, c.buffers)}, nil
	default:
		return mem.BufferSlice{mem.SliceBuffer(head), f.lending.lend(f.unit)}, nil
	}
}

// encodeHead encodes the message up to the unit's bytes, including their tag and length.
func (f *frame) encodeHead() (head []byte, err error) {
	head = make([]byte, 0, 256)
	if f.spec != nil {
		head, err = appendMessage(head, fieldSpec, f.spec)
	}
	if f.label != nil && err == nil {
		head, err = appendMessage(head, fieldLabel, f.label)
	}
	if len(f.unit.Data) == 0 || err != nil {
		return head, err
	}
	head = protowire.AppendTag(head, fieldCRC, protowire.Fixed32Type)
	head = protowire.AppendFixed32(head, f.unit.CRC)
	head = protowire.AppendTag(head, fieldData, protowire.BytesType)
	return protowire.AppendVarint(head, uint64(len(f.unit.Data))), nil
}

func appendMessage(b []byte, field protowire.Number, m proto.Message) ([]byte, error) {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(proto.Size(m)))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}

// Unmarshal implements encoding.CodecV2. A frame's unit then owns a reference to the buffer
// that holds its bytes.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	whole := data.MaterializeToBuffer(c.buffers) // copies unless it is one buffer already
	if err := f.decode(whole.ReadOnlyData()); err != nil {
		whole.Free()
		return err
	}
	if len(f.unit.Data) == 0 {
		whole.Free()
		return nil
	}
	f.unit.Owner = share{whole}
	return nil
}

// share is a unit's reference to the buffer that holds its bytes.
type share struct{ buffer mem.Buffer }

// Release implements chunk.Releaser.
func (s share) Release() { s.buffer.Free() }

// Abandon implements chunk.Abandoner. The reference is never returned, so the buffer's memory is
// left to the garbage collector.
func (s share) Abandon() {}

// decode decodes a message by the rules of protobuf: fields in any order, unknown ones are
// skipped, the last value of a repeated scalar counts. The unit's Data is a subslice of b.
func (f *frame) decode(b []byte) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if !field.IsValid() {
			return errFieldNumber
		}
		b = b[n:]
		n, err := f.decodeField(field, kind, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

var errFieldNumber = errors.New("a field number is out of range")

// decodeField decodes the value at the start of b and returns its length.
func (f *frame) decodeField(field protowire.Number, kind protowire.Type, b []byte) (n int, err error) {
	var value []byte
	switch {
	case field == fieldSpec && kind == protowire.BytesType:
		value, n = protowire.ConsumeBytes(b)
		if n >= 0 {
			f.spec, err = merge(f.spec, value)
		}
	case field == fieldLabel && kind == protowire.BytesType:
		value, n = protowire.ConsumeBytes(b)
		if n >= 0 {
			f.label, err = merge(f.label, value)
		}
	case field == fieldCRC && kind == protowire.Fixed32Type:
		f.unit.CRC, n = protowire.ConsumeFixed32(b)
	case field == fieldData && kind == protowire.BytesType:
		value, n = protowire.ConsumeBytes(b)
		f.unit.Data = slices.Clip(value)
	default:
		n = protowire.ConsumeFieldValue(field, kind, b)
	}
	if n < 0 {
		return 0, protowire.ParseError(n)
	}
	return n, err
}

// merge decodes a message into old, or into a new message if old is nil.
func merge[M any, P interface {
	*M
	proto.Message
}](old P, b []byte) (P, error) {
	if old == nil {
		old = new(M)
	}
	return old, proto.UnmarshalOptions{Merge: true}.Unmarshal(b, old)
}
