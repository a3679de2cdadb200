package store

// Capacity is the state of the disk under a Chunks.
type Capacity struct {
	Total  int64 // bytes of the file system or the configured limit
	Used   int64 // bytes used by chunks, garbage included
	Free   int64 // bytes that new chunks may still take, the reserve left out; 0 unless Disk.State is DiskOK
	Chunks int64 // chunks kept
	Disk   Disk
}

// Disk is what the disk under a Chunks can do at present.
type Disk struct {
	State  DiskState
	Reason string // cause in words, for a person; may be set with DiskOK too, where something else needs attention
}

// DiskState tells which calls a disk can serve. Reads are served in every state.
// The values are sent in heartbeats and stored: add at the end, change none.
type DiskState uint8

// The states of a disk.
const (
	DiskOK       DiskState = iota // takes new chunks
	DiskFull                      // takes deletions, but no new chunks (disk, quota or limit used up)
	DiskReadOnly                  // takes no change: the file system is read-only
	DiskFailing                   // takes no change: a write or a sync failed, the disk's content is uncertain

	diskStateEnd
)

var diskStateNames = [diskStateEnd]string{"ok", "full", "read_only", "failing"}

// String gives the name that operators see; an unknown state is failing.
func (s DiskState) String() string {
	if s < diskStateEnd {
		return diskStateNames[s]
	}
	return diskStateNames[DiskFailing]
}

// Writable reports whether the disk takes new chunks.
func (d Disk) Writable() bool { return d.State == DiskOK }
