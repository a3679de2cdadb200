package repair

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// examine reports whether the chunk is lost where the metadata has it: absent,
// corrupt, or on a node that is not there. Whoever queued the task may have been wrong,
// and a chunk that is well must not be moved about. An error means that it cannot be told now.
func (j *Job) examine(ctx context.Context, p *patient) (lost bool, err error) {
	if p.at.Node.IsZero() {
		return true, nil
	}
	m, known := p.view.Member(p.at.Node)
	switch {
	case slices.Contains(p.view.Removed, p.at.Node):
		return true, nil
	case !known:
		return false, store.Errorf(store.Unavailable, "node %s is not known here yet", p.at.Node)
	case m.Status == cluster.Suspect:
		return false, store.Errorf(store.Unavailable, "node %s cannot be reached just now", m.Name)
	case m.Status == cluster.Inactive:
		return true, nil // it was reported, and nobody speaks for it
	}
	chunks, err := j.cfg.Fleet.Chunks(p.at.Node)
	if err == nil {
		err = j.check(ctx, p, chunks)
	}
	if err == nil {
		return false, nil
	}
	switch store.KindOf(err) {
	case store.NotFound, store.Corrupt, store.OutOfRange:
		return true, nil
	}
	if ctx.Err() == nil {
		j.cfg.Fleet.Report(p.at.Node, err)
	}
	if store.KindOf(err) == store.Internal && p.task.Attempts >= lostAfter && ctx.Err() == nil {
		return true, nil
	}
	return false, err
}

// lostAfter is the number of tries after which a node that answers, but always with a defect of
// its own in place of the chunk, has lost it: its bytes are of no use to anyone where they are.
const lostAfter = 5

// verifyLimit bounds a check in place, which says nothing until its end.
const verifyLimit = 5 * time.Minute

// check compares all of the chunk with what the metadata says of it.
func (j *Job) check(ctx context.Context, p *patient, chunks store.Chunks) error {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	info, err := chunks.Stat(ctx, p.id())
	if err != nil {
		return err
	}
	if info.Sum != p.at.Sum || info.Size != p.part.ChunkSize() {
		return store.Errorf(store.Corrupt, "chunk %s has %d bytes with sum %08x, not %d with %08x", p.id(), info.Size, info.Sum, p.part.ChunkSize(), p.at.Sum)
	}
	if v, ok := chunks.(store.ChunkVerifier); ok {
		return v.Verify(ctx, p.id())
	}
	return readThrough(ctx, chunks, p.id())
}

func readThrough(ctx context.Context, chunks store.Chunks, id store.ChunkID) error {
	r, err := chunks.Open(ctx, id, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = u.Check()
		u.Release()
		if err != nil {
			return err
		}
	}
}
