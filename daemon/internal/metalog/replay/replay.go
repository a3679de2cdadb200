// Package replay rebuilds a lost metadata store from the metadata log on the nodes (package metalog).
//
// [Read] finds the segments on the nodes that can be reached and chooses those that lead to the newest state. [Log.Apply] restores them into
// an empty store, [Reconcile] brings the placements of chunks up to date with what the nodes list. [Rebuild] does all three.
// Nodes that cannot be reached, copies that are damaged, segments that were written twice or are missing do not end a replay: it uses other copies
// and segments, and reports what is missing.
package replay

import (
	"context"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Node is a storage node that is to be read.
type Node struct {
	ID     store.NodeID
	Chunks Chunks
}

// Chunks is what a replay needs of a node; chunk.Store has it.
type Chunks interface {
	chunk.ReaderOpener
	List(ctx context.Context, after store.ChunkID, limit int) ([]chunk.Listed, error)
}

// Target is the store that is rebuilt; store.Metadata has it. Nothing else changes it meanwhile.
type Target interface {
	AdoptCluster(ctx context.Context, id store.ClusterID) error
	Restore(ctx context.Context, records []store.LogRecord) error
	Part(ctx context.Context, id store.PartID) (store.Part, store.File, error)
	PartsAfter(ctx context.Context, after store.PartID, limit int) ([]store.Part, error)
	MoveChunk(ctx context.Context, id store.ChunkID, from, to store.Placement) error
	WidenPart(ctx context.Context, id store.PartID, m int) error
}

// Config says what is replayed.
type Config struct {
	Nodes   []Node          // all that belong to the cluster; those that do not answer are reported
	Cluster store.ClusterID // only segments of this cluster; zero: of any
	Log     *slog.Logger    // default: slog.Default()
}

// Report is what a replay found.
type Report struct {
	Cluster  store.ClusterID
	Log      store.LogID
	Snapshot store.Revision // the snapshot has all up to it; 0 without one
	Revision store.Revision // the newest change that was replayed
	Written  time.Time      // when the newest segment was written: what was acknowledged long before is complete
	Segments int            // that were replayed
	Records  int64
	Gaps     []Gap         // changes that no segment has
	Pieces   []uint64      // pieces of the snapshot that are missing
	Damaged  []Segment     // segments of which no copy can be read
	Others   []store.LogID // further logs on the nodes, which were not replayed
	Silent   []Silent      // nodes that could not be listed

	Parts      int64  // that were compared with the nodes
	Moved      int64  // chunks that were found on another node than the log says
	Missing    int64  // chunks that are on no node; repair rebuilds them
	Unverified int64  // chunks that should be on nodes that could not be listed
	Unknown    int64  // chunks on nodes that belong to no file
	LostParts  int64  // parts of which too few chunks are left
	LostFiles  []Lost // their files, at most mostNamed
}

// Gap is a range of changes that no segment has: after After, up to Before.
type Gap struct{ After, Before store.Revision }

// Segment is one that cannot be read.
type Segment struct {
	Part  store.PartID
	Cause string
}

// Silent is a node that could not be listed.
type Silent struct {
	Node  store.NodeID
	Cause string
}

// Lost is a file of which a part cannot be read.
type Lost struct {
	File   store.FileID
	Bucket store.BucketName
	Key    store.Key
	Part   int // its number
}

// mostNamed bounds the lists of a report that grow with the files.
const mostNamed = 1000

// Complete reports whether nothing that was logged is missing.
func (r Report) Complete() bool { return len(r.Gaps) == 0 && len(r.Pieces) == 0 && r.LostParts == 0 }

// Rebuild replays the log into an empty store. Errors are those of the store, or NotFound when the nodes have no log; everything else is
// in the report.
func Rebuild(ctx context.Context, c Config, into Target) (Report, error) {
	l, err := Read(ctx, c)
	if err != nil {
		return l.Report, err
	}
	if err := l.Apply(ctx, into); err != nil {
		return l.Report, err
	}
	return l.Report, Reconcile(ctx, c, into, &l.Report)
}
