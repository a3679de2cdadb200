// Package noderpc is the wire between gateways and storage nodes: both ends of
// the data plane and of membership, over gRPC.
//
//	NewStorageServer     serves a store.Chunks             on a node
//	Dial                 gives a *Client, a store.Chunks   on a gateway
//	NewMembershipServer  takes nodes in, hears their beats on a gateway
//	Joiner               joins, and sends the beats        on a node
//
// Client over Server over any store.Chunks keeps every promise of that contract,
// the exact kind of an error included (it travels as a status detail).
//
// # Bytes by reference
//
// The bytes of a unit are not copied on their way out: the codec hands gRPC a
// slice of two buffers, the few encoded bytes before the data and the unit's own
// bytes, which go back to their owner when the transport has written them. On
// their way in gRPC reads HTTP/2 frames of 16 KiB each into a buffer of its own,
// so a unit of more than that is copied once, into one pooled buffer, which the
// unit owns. A unit that came in one frame is not copied. What is on the wire are
// the messages of proto/storage/v1, so that any gRPC library can be the other end.
//
// # Memory
//
// Each open stream holds at most its flow control window (Window) of bytes that
// were received and not yet taken, on the receiving side, and about 64 KiB plus
// one frame that wait to be sent, on the sending side.
package noderpc
