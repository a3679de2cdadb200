package rpc

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the standard codec
	"google.golang.org/grpc/mem"
)

// UnitMessage is a message that carries a unit, so that the limit of requests without one does not apply.
type UnitMessage interface{ CarriesUnit() }

// Protobuf is gRPC's standard codec.
func Protobuf() encoding.CodecV2 { return encoding.GetCodecV2("proto") }

// boundedCodec decodes a boundedRequest only if its size is within the limit, and passes all else to the codec of the service.
type boundedCodec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if b, ok := v.(*boundedRequest); ok {
		if !b.accept(data) {
			return nil
		}
		v = b.message
	}
	return c.CodecV2.Unmarshal(data, v)
}
