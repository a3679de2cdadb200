// Package metatest is the conformance suite of [store.Metadata]: one test per
// promise of the contract's comments. Every implementation passes it.
//
// An implementation's test is one call:
//
//	func TestMetadata(t *testing.T) { metatest.Run(t, fresh) }
//
// The suite waits for time to pass only where the contract depends on time, by
// polling until the answer changes, never by a fixed sleep.
package metatest

import (
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Fresh creates new, empty data (freed through tb.Cleanup) and returns a function that opens
// a store on it. Open may be called more than once for the same data, also
// while an earlier store is open: two gateways on one database, or a restart.
// The suite closes each store that it opens.
type Fresh func(tb testing.TB) (open Open)

// Open opens one more store on the data, failing tb when it cannot.
type Open func(tb testing.TB) store.Metadata

type test struct {
	name string
	run  func(t *testing.T, m store.Metadata)
}

// Run holds the implementation to the whole contract, each test on data of its own.
func Run(t *testing.T, fresh Fresh) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"Buckets", bucketTests},
		{"Documents", documentTests},
		{"Commit", commitTests},
		{"Upload", uploadTests},
		{"Files", fileTests},
		{"Rename", renameTests},
		{"Conditions", conditionTests},
		{"Sessions", sessionTests},
		{"SessionLimits", limitTests},
		{"SessionParts", sessionPartTests},
		{"CompleteSession", completeTests},
		{"Parts", partsTests},
		{"Checksums", checksumTests},
		{"Attributes", attributeTests},
		{"Locks", lockTests},
		{"ListObjects", objectTests},
		{"ListFiles", listFilesTests},
		{"Placements", placementTests},
		{"Changes", changeTests},
		{"Fences", fenceTests},
		{"Sweep", sweepTests},
		{"Nodes", nodeTests},
		{"Queues", queueTests},
		{"Leases", leaseTests},
		{"Credentials", credentialTests},
		{"Log", logTests},
		{"Restore", restoreTests},
		{"Jobs", jobTests},
		{"Events", eventTests},
		{"Loops", loopTests},
		{"Gateways", gatewayTests},
		{"Calls", callTests},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.tests {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, opened(t, fresh(t)))
				})
			}
		})
	}
	t.Run("Shared", func(t *testing.T) {
		for _, c := range sharedTests {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, fresh(t))
			})
		}
	})
}

// opened opens a store that is closed at the end of the test.
func opened(tb testing.TB, open Open) store.Metadata {
	tb.Helper()
	m := open(tb)
	tb.Cleanup(func() { _ = m.Close() }) // a test may have closed it before
	return m
}
