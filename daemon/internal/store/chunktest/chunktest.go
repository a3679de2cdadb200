// Package chunktest is the conformance suite of store.Chunks: one subtest for
// each promise in the comments of that contract. Every implementation runs it,
// the one in memory and the one behind the wire included.
package chunktest

import (
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Open makes a fresh, empty place for one subtest and cleans it up by t.Cleanup.
type Open func(t testing.TB) store.Chunks

// Run checks every promise of store.Chunks, each on a place of its own, in parallel.
// Where the implementation has the optional powers, those are checked too.
func Run(t *testing.T, open Open) {
	for _, c := range promises {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, open(t))
		})
	}
}

// promises is the suite; the names say what is promised.
var promises = []struct {
	name  string
	check func(t *testing.T, c store.Chunks)
}{
	{"a chunk reads back as it was written", readsBack},
	{"a chunk of many sizes reads back", manySizes},
	{"the size hint is never a limit", hintIsNoLimit},
	{"nothing is visible before Commit", invisibleBeforeCommit},
	{"Abort leaves nothing", abortLeavesNothing},
	{"Abort after Commit does nothing", abortAfterCommit},
	{"Abort may be called while Append runs", abortDuringAppend},
	{"a writer ends with its context", contextEndsWriter},
	{"the same chunk again is success and changes nothing", sameChunkAgain},
	{"another chunk under the same id is Exists", otherChunkExists},
	{"a unit with a wrong checksum is Corrupt", wrongUnitChecksum},
	{"a chunk without units is Invalid", noUnits},
	{"a unit of no bytes is Invalid", emptyUnit},
	{"a unit over the unit size is Invalid", longUnit},
	{"a unit after a short one is Invalid", unitAfterShort},
	{"a spec that is wrong is Invalid", wrongSpec},
	{"each unit is released exactly once", releasedOnce},
	{"the label is kept field by field", labelKept},
	{"many writers write different chunks", manyWriters},
	{"many writers write the same chunk", manyWritersOneChunk},
	{"writers that disagree leave one chunk", disagreeingWriters},
	{"PutSmall stores a chunk of one unit", putSmall},
	{"PutSmall keeps the rules of a writer", putSmallRules},

	{"a range gives its units", ranges},
	{"a range that begins past the end is OutOfRange", outOfRange},
	{"what is absent is NotFound", absent},
	{"units stay as they are until released", unitsStay},
	{"Close may be called early and while Next runs", closeDuringNext},
	{"a reader ends with its context", contextEndsReader},
	{"many readers read one chunk", manyReaders},

	{"List gives chunks in order, in pages", listPages},
	{"List of nothing is empty", listEmpty},
	{"Delete removes, and twice is nil", deleteTwice},
	{"a deleted chunk may be written again", writeAfterDelete},
	{"Delete while reading is safe", deleteDuringRead},
	{"Capacity adds up", capacity},
	{"Verify finds what is whole, and what is absent", verify},
	{"an ended context is an error everywhere", endedContext},
}
