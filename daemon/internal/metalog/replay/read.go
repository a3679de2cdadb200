package replay

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ringstore/ringstore/daemon/internal/metalog"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	pageSize = store.MaxListLimit
	readers  = 8 // segments that are read at the same time
)

// Log is a log that was found on the nodes, with the segments that a replay needs.
type Log struct {
	Report Report

	cfg    Config
	copies map[store.PartID][]place
	steps  []found // in the order in which they are applied
}

// place is a copy of a segment.
type place struct {
	node  int // in Config.Nodes
	index uint8
}

// found is a segment that can be read.
type found struct {
	metalog.Header
	part store.PartID
}

// Read finds the log on the nodes. NotFound when they have no log. The report of the log is set in any case, but for what Apply and Reconcile find.
func Read(ctx context.Context, c Config) (*Log, error) {
	c.Log = cmp.Or(c.Log, slog.Default())
	l := &Log{cfg: c, copies: map[store.PartID][]place{}}
	l.list(ctx)
	all, err := l.headers(ctx)
	if err != nil {
		return l, err
	}
	if len(all) == 0 {
		return l, store.Errorf(store.NotFound, "none of the %d nodes that answer has a metadata log", len(c.Nodes)-len(l.Report.Silent)).
			WithHint("Start the storage nodes that are missing, or rebuild from the labels of chunks.")
	}
	l.choose(all)
	return l, nil
}

// list finds the copies of segments on all nodes.
func (l *Log) list(ctx context.Context) {
	var mu sync.Mutex // guards copies and the report
	var g errgroup.Group
	g.SetLimit(readers)
	for i, node := range l.cfg.Nodes {
		g.Go(func() error {
			ids, err := logChunks(ctx, node.Chunks)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				l.Report.Silent = append(l.Report.Silent, Silent{node.ID, err.Error()})
			}
			for _, id := range ids {
				l.copies[id.Part] = append(l.copies[id.Part], place{i, id.Index})
			}
			return nil
		})
	}
	_ = g.Wait() // errors are in the report
}

// logChunks lists the chunks of the metadata log on a node.
func logChunks(ctx context.Context, c Chunks) (ids []store.ChunkID, err error) {
	for after := store.FirstLogChunk(); ; {
		page, err := c.List(ctx, after, pageSize)
		if err != nil {
			return ids, err
		}
		for _, x := range page {
			if !x.ID.Part.IsLog() {
				return ids, nil
			}
			ids = append(ids, x.ID)
		}
		if len(page) < pageSize {
			return ids, nil
		}
		after = page[len(page)-1].ID
	}
}

// headers reads all segments, each from the first copy that is intact.
func (l *Log) headers(ctx context.Context) (all []found, err error) {
	var mu sync.Mutex // guards all and the report
	var g errgroup.Group
	g.SetLimit(readers)
	for part := range l.copies {
		g.Go(func() error {
			s, err := l.segment(ctx, part)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				l.Report.Damaged = append(l.Report.Damaged, Segment{part, err.Error()})
			case l.cfg.Cluster == store.ClusterID{} || s.Cluster == l.cfg.Cluster:
				all = append(all, found{s.Header, part})
			}
			return nil
		})
	}
	return all, g.Wait()
}

// segment reads a segment from the first copy that is intact. The error is that of the last copy.
func (l *Log) segment(ctx context.Context, part store.PartID) (s metalog.Segment, err error) {
	err = store.Errorf(store.NotFound, "no node has segment %s", part)
	for _, at := range l.copies[part] {
		var data []byte
		if data, err = readChunk(ctx, l.cfg.Nodes[at.node].Chunks, store.ChunkID{Part: part, Index: at.index}); err != nil {
			continue
		}
		if s, err = metalog.Decode(data); err == nil {
			return s, nil
		}
	}
	return s, err
}

// readChunk reads a whole chunk that is not larger than a segment may be.
func readChunk(ctx context.Context, c Chunks, id store.ChunkID) (data []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := c.Open(ctx, id, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for len(data) <= metalog.MaxSegment {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err == nil {
			err = u.Check()
		}
		if err != nil {
			u.Release()
			return nil, err
		}
		data = append(data, u.Data...)
		u.Release()
	}
	return nil, store.Errorf(store.Corrupt, "chunk %s is larger than a segment", id)
}

// choose selects the log, its snapshot and the tail that leads furthest.
func (l *Log) choose(all []found) {
	byLog := map[store.LogID][]found{}
	for _, x := range all {
		byLog[x.Log] = append(byLog[x.Log], x)
	}
	var best plan
	for _, segments := range byLog {
		if p := newPlan(segments); p.better(best) {
			best = p
		}
	}
	for id := range byLog {
		if id != best.log {
			l.Report.Others = append(l.Report.Others, id)
		}
	}
	slices.SortFunc(l.Report.Others, func(a, b store.LogID) int { return slices.Compare(a[:], b[:]) })
	r := &l.Report
	r.Cluster, r.Log, r.Snapshot, r.Revision, r.Written, r.Gaps, r.Pieces = best.cluster, best.log, best.base, best.last, best.written, best.gaps, best.missing
	l.steps = best.steps
}
