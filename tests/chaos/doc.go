// Package chaos injects failures into real processes and checks that no acknowledged operation is lost.
//
// TestStorm is the main test: workers write, read, overwrite, delete, rename and copy a bounded set of keys through two
// gateways, by single requests, sessions and tus, while gateways, nodes and the database are killed, paused, locked,
// disconnected and filled up. A history (history_test.go) knows at each moment which versions a key may show: after an
// acknowledged write only that one, after a write of unknown outcome both. Every read must return one of them completely;
// content contains its own version, so that a mix of two is detected. Afterwards, with everything running, the queues
// must drain, each file must survive what its policy says, and the chunks on the nodes are compared with the metadata.
//
// The other tests inject one kind of failure each: commits slower than a gateway waits (TestSlowCommitOnOverwrite), tasks
// claimed by a gateway that is killed (TestClaimsEndWithTheirLeader), objects that change while they are read
// (TestDownloadsEndWhole, TestReadBesideDelete), uploads that stall (TestStalledUploads), and kills during s3ctl's large
// transfers (TestKills).
//
// Sizes and times are small in `make test`; `make chaos`, `chaos-commits`, `chaos-gets` and `chaos-kills` run each for
// longer. The variables are in chaos_test.go; every run logs its seed, and RINGSTORE_CHAOS_BIN selects programs that were
// built elsewhere. A failed run keeps the logs of all processes and prints where. The seed determines the order of
// failures and of each worker's requests, but not how they interleave.
package chaos
