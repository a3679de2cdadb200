// Package chunk is the contract of a place that keeps chunks: a disk, a node behind gRPC, memory. All code that moves the bytes of
// chunks imports this package; the ids, sizes and sums of chunks are part of the metadata and belong to package store.
package chunk
