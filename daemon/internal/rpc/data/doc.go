// Package data is the data port: the second way by which gateways send units to a storage node and read them, beside gRPC on the
// same listener. It exists because gRPC spends more on its frames and goroutines than the bytes themselves cost (docs/adr/0133).
//
//	NewServer  serves the units of a chunk.Store   on a node; rpc.Server passes it the connections that begin with its magic
//	Dial       returns a *Client, a chunk.Store    on a gateway
//
// Three requests travel here: a read of units (get), the durable write of a chunk of one unit (put), and that of a chunk of any
// size (stream). Everything else, and everything when the data port fails, takes gRPC, through the chunks.Client that a Client has. The
// format is docs/format/data-port.md.
//
// # Connections
//
// A get or a stream has a connection for itself until it ends; a client keeps a few idle ones. All puts of a client share one
// connection: they are numbered, answered in any order, and can be cancelled. A put that comes while others are unanswered waits
// for their answers and is sent with all that came meanwhile, so that the node makes them durable with one sync.
//
// # Authentication
//
// The node begins with a random number and its time. Each request carries a proof over that number, the time and all that it asks
// for, which is checked before anything that follows it is read.
package data
