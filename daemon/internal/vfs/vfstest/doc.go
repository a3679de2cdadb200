// Package vfstest has file systems for tests: [Crashable] is in memory, records what was synced
// and can lose power at any moment; [Inject] wraps any file system to make calls fail or to
// record their order, and [Count] to count the open files.
package vfstest
