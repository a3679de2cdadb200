package data

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
)

// encodeFailure encodes an error as gRPC does, so that its exact kind, its item and its hint arrive.
func encodeFailure(err error) []byte {
	b, bad := proto.Marshal(status.Convert(rpc.ToStatus(err)).Proto())
	if bad != nil || len(b) > maxFailure { // cannot happen: all of its texts are bounded
		return nil
	}
	return b
}

func appendFailure(number uint32, err error) []byte {
	text := encodeFailure(err)
	b := answer{kind: answerFailed, number: number, length: uint32(len(text))}.append(make([]byte, 0, answerSize+len(text)))
	return append(b, text...)
}

// decodeFailure decodes it as an error of gRPC, which rpc.Peer translates.
func decodeFailure(b []byte) error {
	s := status.New(codes.OK, "").Proto()
	if err := proto.Unmarshal(b, s); err != nil || s.GetCode() == 0 {
		return misbehaved("an error that cannot be read")
	}
	return status.FromProto(s).Err()
}

// misbehaviour is what a node does that speaks another protocol, or this one wrongly.
type misbehaviour struct{ what string }

func misbehaved(format string, args ...any) error { return misbehaviour{fmt.Sprintf(format, args...)} }

func (m misbehaviour) Error() string { return "the data port sent " + m.what }

func encodeLabel(l chunk.Label) []byte { return chunks.EncodeLabel(l) }

func decodeLabel(b []byte) (chunk.Label, error) { return chunks.DecodeLabel(b) }
