// Package logwriter writes the metadata log: what the metadata store holds, on the nodes (package metalog).
//
// A step reads the changes after the last one that is logged, and stores a tail segment with them. When the tail has many small
// segments it merges them (compact.go); when the tail is larger than the snapshot it writes another snapshot, piece by piece while the tail continues
// (snapshot.go), and removes what that replaces.
//
// A segment is stored in two steps: first its chunks on the nodes, then the list of segments in the metadata store. A crash
// between the two leaves chunks that no list names: they are valid segments, and a replay may use them. At any moment the
// segments that are listed, with or without such chunks, lead to the state as of some revision that was the latest a short time before: a snapshot
// counts only once its last piece is stored, which is written after the tail has reached everything that the snapshot may show, and what it replaces is
// removed after that.
//
// Two gateways that both take themselves for the leader do no harm. A segment says which changes it holds, so segments of two writers that hold the
// same changes are equal in effect; the list accepts no segment of a term that is older than one in it, and no number twice.
package logwriter

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "metadata-log"

// Meta is what the loop needs of the metadata store.
type Meta interface {
	store.MetadataLog
	stripe.Meta
	ChangesAfter(ctx context.Context, after store.Revision, limit int) (store.ChangePage, error)
	ChangeHead(ctx context.Context) (store.Revision, error)
	Bucket(ctx context.Context, name store.BucketName) (store.Bucket, error)
	ListBuckets(ctx context.Context) ([]store.Bucket, error)
	Documents(ctx context.Context, bucket store.BucketName) ([]attr.Document, error)
	DropPart(ctx context.Context, p store.Part) error
}

// Config is what the loop is made of. Zero values take the defaults named here.
type Config struct {
	Meta    Meta
	Fleet   upkeep.Fleet
	Survive int           // node failures that the log survives at least; more where a bucket asks for more
	Reclaim func()        // called after chunks were put on the reclaim queue; may be nil
	Log     *slog.Logger  // default: slog.Default()
	Buffers *bufpool.Pool // see stripe.Config

	Every      time.Duration // between two looks for changes; default 1 s
	TailBytes  int64         // the tail may have so many bytes, or as many as the snapshot, before there is another snapshot; default 8 MiB
	MergeCount int           // so many small segments are merged; default 32
	MergeBytes int64         // segments up to so many bytes together are merged; default 1 MiB
	PieceFiles int           // files in a piece of a snapshot; default 4000
}

// Loop is the upkeep loop. Make it with New.
type Loop struct {
	cfg Config
	io  *stripe.IO

	term      uint64             // of the lease under which the fields below were read
	loaded    bool               // they say what the metadata store has
	segments  []store.LogSegment // by number
	log       store.LogID        // that is written
	logged    store.Revision     // the tail holds all changes up to it
	looked    time.Time          // when changes were last read
	snap      *snapshot          // in progress; nil: none
	rest      time.Time          // no merge before; a segment could not be read
	uncertain []store.Task       // chunks to be reclaimed, of which the metadata store does not know yet
	doubtful  []store.Part       // parts of segments of which it is not known whether the list has them
}

// New makes the loop.
func New(c Config) *Loop {
	c.Every = cmp.Or(c.Every, time.Second)
	c.TailBytes = cmp.Or(c.TailBytes, 8<<20)
	c.MergeCount = cmp.Or(c.MergeCount, 32)
	c.MergeBytes = cmp.Or(c.MergeBytes, 1<<20)
	c.PieceFiles = cmp.Or(c.PieceFiles, 4000)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Reclaim == nil {
		c.Reclaim = func() {}
	}
	return &Loop{cfg: c, io: stripe.New(stripe.Config{Fleet: c.Fleet, Meta: c.Meta, Log: c.Log, Buffers: c.Buffers})}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop. The tail is written once a second; a snapshot takes half of the time in between.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: l.cfg.Every, Throttle: 1} }

// Step writes what changed, and then does one piece of compaction.
func (l *Loop) Step(ctx context.Context, term uint64) (upkeep.Outcome, error) {
	out := upkeep.Outcome{State: upkeep.Idle}
	if !l.loaded || l.term != term {
		if err := l.load(ctx, term); err != nil {
			return out, err
		}
	}
	more, err := l.tail(ctx, &out)
	if err == nil && !more {
		more, err = l.compact(ctx, &out)
	}
	l.io.Wait()
	if more {
		out.State = upkeep.Busy
	}
	if err != nil {
		l.loaded = false // another gateway may have written, or an answer was lost
	}
	return out, err
}

// load reads the list of segments, and resumes the newest log. What an earlier writer left unfinished is removed by compact.
func (l *Loop) load(ctx context.Context, term uint64) error {
	if err := l.queueUncertain(ctx); err != nil {
		return err
	}
	for len(l.doubtful) > 0 {
		if err := l.drop(ctx, l.doubtful[0]); err != nil {
			return err
		}
		l.doubtful = l.doubtful[1:]
	}
	all, err := l.cfg.Meta.LogSegments(ctx)
	if err != nil {
		return err
	}
	l.term, l.segments, l.snap, l.looked = term, all, nil, time.Time{}
	if len(all) == 0 {
		err = l.first(ctx)
	} else {
		l.log = all[len(all)-1].Log
		l.logged = l.resume()
	}
	l.loaded = err == nil
	return err
}

// resume returns the revision up to which the log that is written holds the changes.
func (l *Loop) resume() (logged store.Revision) {
	for _, s := range l.segments {
		if s.Log == l.log && s.Kind == store.TailSegment {
			logged = max(logged, s.Last)
		}
	}
	if logged > 0 {
		return logged
	}
	return l.segments[len(l.segments)-1].Last // there is an unfinished snapshot only: the tail begins at its revision
}

// first starts the first log of a store. In a store without files its tail holds everything; the changes of others may be incomplete.
func (l *Loop) first(ctx context.Context) error {
	batch, err := l.cfg.Meta.CompleteFiles(ctx, store.FileID{}, 1)
	if err != nil {
		return err
	}
	if len(batch.Files) > 0 {
		return l.begin(ctx)
	}
	l.log, l.logged = store.NewLogID(), 0
	return nil
}

// begin starts another log from now on. It counts once it has a snapshot, and until then the earlier logs are kept.
func (l *Loop) begin(ctx context.Context) error {
	head, err := l.cfg.Meta.ChangeHead(ctx)
	if err != nil {
		return err
	}
	l.log, l.logged, l.snap = store.NewLogID(), head, nil
	l.cfg.Log.Info("a metadata log begins with a snapshot", "revision", head)
	l.beginSnapshot()
	return nil
}

// tail stores the changes that are not logged yet. more: there may be others.
func (l *Loop) tail(ctx context.Context, out *upkeep.Outcome) (more bool, err error) {
	if time.Since(l.looked) < l.cfg.Every*9/10 {
		return false, nil
	}
	changes, rows, more, err := l.read(ctx)
	if errors.Is(err, store.NotFound) {
		return true, l.begin(ctx)
	}
	if err != nil {
		return false, err
	}
	if !more {
		l.looked = time.Now()
	}
	if len(changes) == 0 {
		return false, nil
	}
	return more, l.writeTail(ctx, changes, rows, out)
}
