// Package chaos breaks real processes on purpose, and demands that nothing which was acknowledged suffers.
//
// TestStorm is the main one: workers write, read, overwrite, delete, rename and copy a bounded set of keys
// through two gateways, by single requests, sessions and tus, while gateways, nodes and the database are killed, stopped,
// locked, cut off and filled up. A history (history_test.go) knows at each moment which versions a key may show:
// an acknowledged write is the only one, a write of unknown outcome leaves both. Every read must give one of them,
// whole; content names its own version, so a mix of two is found. Afterwards, with everything back, the queues must drain,
// each file must survive what its policy says, and what the nodes keep is compared with the metadata.
//
// The other tests aim at one fault each: commits that are slower than a gateway waits (TestSlowCommitOnOverwrite), work
// claimed by a gateway that dies (TestClaimsEndWithTheirLeader), objects that change while they are read
// (TestDownloadsEndWhole, TestReadBesideDelete), uploads that stall (TestStalledUploads), and s3ctl's large transfers
// (TestKills).
//
// Sizes and times are small in `make test`; `make chaos`, `chaos-commits`, `chaos-gets` and `chaos-kills` run each for
// longer. The variables are in chaos_test.go; every run logs its seed, and RINGSTORE_CHAOS_BIN tests programs
// that were built elsewhere. A failed run keeps the logs of all processes and says where. The order of faults and
// of each worker's requests follows from the seed; how they interleave does not.
package chaos
