// Package chunktest is the conformance suite of chunk.Store: one subtest for each promise in
// the comments of that contract. Every implementation runs it, including the one in memory and
// the gRPC client.
package chunktest

import (
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

// Open returns a new, empty store for one subtest and removes it in t.Cleanup.
type Open func(t testing.TB) chunk.Store

// Run checks every promise of chunk.Store, each on its own store, in parallel. Optional
// interfaces are checked if the implementation has them.
func Run(t *testing.T, open Open) {
	for _, c := range promises {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, open(t))
		})
	}
}

// promises is the suite; each name states the promise.
var promises = []struct {
	name  string
	check func(t *testing.T, c chunk.Store)
}{
	{"a chunk reads back as it was written", readsBack},
	{"a chunk of many sizes reads back", manySizes},
	{"the size hint is never a limit", hintIsNoLimit},
	{"nothing is visible before Commit", invisibleBeforeCommit},
	{"Abort leaves nothing", abortLeavesNothing},
	{"Abort after Commit does nothing", abortAfterCommit},
	{"Abort may be called while Append runs", abortDuringAppend},
	{"a writer ends with its context", contextEndsWriter},
	{"writing the same chunk again succeeds and changes nothing", sameChunkAgain},
	{"another chunk under the same id is Exists", otherChunkExists},
	{"a unit with a wrong checksum is Corrupt", wrongUnitChecksum},
	{"a chunk without units is Invalid", noUnits},
	{"a unit of no bytes is Invalid", emptyUnit},
	{"a unit over the unit size is Invalid", longUnit},
	{"a unit after a short one is Invalid", unitAfterShort},
	{"an invalid spec is Invalid", wrongSpec},
	{"each unit is released exactly once", releasedOnce},
	{"the label is kept field by field", labelKept},
	{"many writers write different chunks", manyWriters},
	{"many writers write the same chunk", manyWritersOneChunk},
	{"writers with different contents leave one chunk", disagreeingWriters},
	{"PutSmall stores a chunk of one unit", putSmall},
	{"PutSmall has the rules of a writer", putSmallRules},
	{"PutMany stores each for itself", putMany},
	{"PutMany and others store the same chunks", putManyTogether},

	{"a range gives its units", ranges},
	{"a range that begins past the end is OutOfRange", outOfRange},
	{"an absent chunk is NotFound", absent},
	{"units do not change before they are released", unitsStay},
	{"Close may be called early and while Next runs", closeDuringNext},
	{"a reader ends with its context", contextEndsReader},
	{"many readers read one chunk", manyReaders},

	{"List gives chunks in order, in pages", listPages},
	{"List of an empty store is empty", listEmpty},
	{"Delete removes a chunk, and a second Delete is nil", deleteTwice},
	{"DeleteMany removes chunks, and tells what became of each", deleteMany},
	{"DeleteMany of too many chunks deletes none", deleteTooMany},
	{"calls of DeleteMany may have chunks in common", deleteManyAtOnce},
	{"a deleted chunk may be written again", writeAfterDelete},
	{"Delete while reading is safe", deleteDuringRead},
	{"Capacity is consistent", capacity},
	{"Verify accepts an intact chunk, and reports an absent one", verify},
	{"an ended context is an error everywhere", endedContext},
}
