package logwriter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/metalog"
	"github.com/ringstore/ringstore/daemon/internal/placement"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

// contentType is in the labels of chunks of the log, for people; programs recognize the id.
const contentType = "application/vnd.ringstore.metadata-log"

// recordLimit bounds the calls that must be made although ctx has ended.
const recordLimit = 10 * time.Second

// errTooLarge is the error of records that do not fit into a segment.
var errTooLarge = errors.New("the records do not fit into a segment")

// segment is what a segment is made of. The loop adds the rest.
type segment struct {
	kind        store.LogSegmentKind
	group       uint64 // of a snapshot: of its first piece, 0 for the first piece itself
	piece       uint64
	first, last store.Revision
	records     []store.LogRecord
	replaces    []uint64 // segments that are removed in the same step
}

// store makes a segment durable on the nodes, and lists it. errTooLarge; other errors leave open what is listed, until load.
func (l *Loop) store(ctx context.Context, s segment) (store.LogSegment, error) {
	plan, err := l.plan(ctx)
	if err != nil {
		return store.LogSegment{}, err
	}
	x := store.LogSegment{
		Log: l.log, Number: l.nextNumber(), Term: l.term, Kind: s.kind, Group: s.group, First: s.first, Last: s.last,
	}
	if s.kind != store.TailSegment && s.group == 0 {
		x.Group = x.Number
	}
	data, err := metalog.Encode(metalog.Segment{Records: s.records, Header: metalog.Header{
		Cluster: l.cfg.Fleet.View().Cluster, Log: x.Log, Kind: x.Kind, Term: x.Term, Number: x.Number, Group: x.Group, Piece: s.piece,
		First: x.First, Last: x.Last, Written: time.Now().UTC().Truncate(time.Microsecond),
	}})
	if errors.Is(err, store.Invalid) {
		return store.LogSegment{}, errors.Join(errTooLarge, err)
	}
	if err != nil {
		return store.LogSegment{}, err
	}
	if x.Part, err = l.write(ctx, plan, x, data); err != nil {
		return store.LogSegment{}, err
	}
	return x, l.change(ctx, []store.LogSegment{x}, s.replaces)
}

func (l *Loop) nextNumber() uint64 {
	if len(l.segments) == 0 {
		return 1
	}
	return l.segments[len(l.segments)-1].Number + 1
}

// plan is that of the bucket whose data survives the most failures: so does the log.
func (l *Loop) plan(ctx context.Context) (*placement.Plan, error) {
	buckets, err := l.cfg.Meta.ListBuckets(ctx)
	if err != nil {
		return nil, err
	}
	wanted := l.cfg.Survive
	for _, b := range buckets {
		wanted = max(wanted, b.Survive)
	}
	return l.cfg.Fleet.View().Plan(wanted)
}

// write makes the data durable as copies, as many as survive the failures of the plan.
func (l *Loop) write(ctx context.Context, plan *placement.Plan, x store.LogSegment, data []byte) (store.Part, error) {
	p := store.Part{
		ID: store.NewLogPartID(), Number: 1, Size: int64(len(data)), K: 1, M: plan.Survive, UnitSize: chunk.DefaultUnitSize, CRC64: crc64nvme.Checksum(data),
	}
	p.Chunks = plan.Place(p.ID, 1+p.M)
	spec := stripe.WriteSpec{Part: p, Size: p.Size, Required: plan.Required(), Whole: len(data) <= p.UnitSize}
	if spec.Whole {
		spec.Spares, spec.Share = plan.Spares(p.ID, len(p.Chunks)), plan.Share(len(p.Chunks))
	}
	w := l.io.Write(ctx, spec)
	defer w.Abort()
	for unit := range slices.Chunk(data, p.UnitSize) {
		w.Send(slices.Repeat([]chunk.Unit{chunk.NewUnit(unit, nil)}, len(p.Chunks)))
		if err := w.Err(); err != nil {
			return p, err
		}
	}
	chunks, err := w.Commit(chunk.Label{
		Key: store.Key(fmt.Sprintf("metadata log %s, segment %d", x.Log, x.Number)), ContentType: contentType, CreatedAt: time.Now().UnixMicro(),
		FileSize: p.Size, PartNumber: 1, PartSize: p.Size, PartCRC64: p.CRC64, K: p.K, M: p.M, UnitSize: p.UnitSize,
	})
	p.Chunks = chunks
	l.uncertain = append(l.uncertain, w.Uncertain()...)
	if err = errors.Join(err, l.queueUncertain(ctx)); err != nil {
		return p, errors.Join(err, l.abandon(ctx, p))
	}
	return p, nil
}

// queueUncertain queues the chunks for reclaim that nodes may have beside those of the segments. Where that fails, load tries again.
func (l *Loop) queueUncertain(ctx context.Context) error {
	if len(l.uncertain) == 0 {
		return nil
	}
	if err := l.cfg.Meta.Enqueue(ctx, l.uncertain); err != nil {
		return err
	}
	l.uncertain = nil
	l.cfg.Reclaim()
	return nil
}

// change changes the list of segments. When its answer is lost, the new segments are fenced: afterwards the list has them, or never will.
func (l *Loop) change(ctx context.Context, add []store.LogSegment, remove []uint64) error {
	if err := l.cfg.Meta.ChangeLog(ctx, store.LogChange{Term: l.term, Add: add, Remove: remove}); err != nil {
		for _, x := range add {
			err = errors.Join(err, l.abandon(ctx, x.Part))
		}
		return err
	}
	l.segments = append(slices.DeleteFunc(l.segments, func(x store.LogSegment) bool { return slices.Contains(remove, x.Number) }), add...)
	if len(remove) > 0 {
		l.cfg.Reclaim()
	}
	return nil
}

// abandon fences a part and queues its chunks for reclaim, unless the list has it. Where that fails, load tries again.
func (l *Loop) abandon(ctx context.Context, p store.Part) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	err := l.drop(ctx, p)
	if err != nil {
		l.doubtful = append(l.doubtful, p)
	}
	return err
}

func (l *Loop) drop(ctx context.Context, p store.Part) error {
	err := l.cfg.Meta.DropPart(ctx, p)
	if errors.Is(err, store.Conflict) {
		return nil // the list has it
	}
	return err
}

// fetch reads a segment from the nodes.
func (l *Loop) fetch(ctx context.Context, x store.LogSegment) (metalog.Segment, error) {
	r, err := l.io.Read(ctx, x.Part, 0, x.Part.Size)
	if err != nil {
		return metalog.Segment{}, err
	}
	defer r.Close()
	data := buffer{make([]byte, 0, x.Part.Size)}
	first, last := r.Stripes()
	for s := first; s <= last; s++ {
		if err := r.Stripe(&data, s); err != nil {
			return metalog.Segment{}, err
		}
	}
	return metalog.Decode(data.bytes)
}

// buffer is a writer into memory.
type buffer struct{ bytes []byte }

var _ io.Writer = (*buffer)(nil)

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}
