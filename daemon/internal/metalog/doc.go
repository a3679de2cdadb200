// Package metalog is the format of the metadata log: what a lost database held, kept on the nodes.
//
// A [Segment] is a byte string of records, each of which states what a file or a bucket is after a change. A tail segment holds
// all changes after one revision up to another, as they were at exactly that revision: not earlier and not later. A snapshot is a number of
// segments with all files and buckets. The newest complete snapshot and the tail after its revision rebuild the metadata.
//
// [Fold] computes the records of a number of changes, and merges records of several segments. It is pure. docs/format/metadata-log.md
// describes the bytes, package replay rebuilds a store from them.
package metalog
