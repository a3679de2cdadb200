// Package chunks is the data plane over gRPC: both ends of the protocol by which gateways write, read and delete the chunks of a node.
//
//	NewServer  serves a chunk.Store                on a node
//	Dial       returns a *Client, a chunk.Store    on a gateway
//
// A Client of a server of any chunk.Store keeps every promise of that contract,
// including the exact kind of an error, which is sent as a status detail.
//
// # Bytes by reference
//
// A unit is not copied when it is sent: the codec passes gRPC a slice of two buffers, the
// few encoded bytes before the data and the unit's own bytes, which return to their owner
// when the transport has written them. When a unit is received, gRPC reads HTTP/2 frames of
// 16 KiB into its own buffers, so a larger unit is copied once, into a pooled buffer that
// the unit owns; a unit that arrived in one frame is not copied. The messages on the wire
// are those of proto/storage/v1, so the other end may use any gRPC library.
//
// # Memory
//
// Each open stream holds at most its flow control window (rpc.Window) of received bytes on the
// receiving side, and about 64 KiB plus one frame of unsent bytes on the sending side.
package chunks
