// Package rpc is what the gRPC services between gateways and storage nodes share, on both ends: connections, servers with
// limits before authentication, tokens, request ids, and errors that keep their kind.
//
//	chunks  the chunks of a node: a server of any chunk.Store, and a client that is one
//	member  joins and heartbeats: a gateway's server, and the Joiner of a node
//
// A call is admitted before any byte of its request is read: by its token, the node that it is addressed to, and the quotas of
// its server. An error is sent with its exact kind as a status detail, so that a client returns the error that the
// other end's store returned.
package rpc
