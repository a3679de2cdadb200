package repair

import (
	"context"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// examine reports whether the chunk is lost where the metadata places it: absent,
// damaged, or on a node that was removed or is inactive. The task may have been queued in error,
// and an intact chunk must not be moved. An error means that it cannot be determined now.
func (l *Loop) examine(ctx context.Context, p *partTask, index int) (lost bool, err error) {
	at := p.part.Chunks[index]
	m, known := p.view.Member(at.Node)
	switch {
	case slices.Contains(p.view.Removed, at.Node), known && m.Status == cluster.Inactive:
		return true, nil // nothing can be read there
	case !known:
		return false, store.Errorf(store.Unavailable, "node %s is not known to this gateway yet", at.Node)
	case m.Status == cluster.Suspect:
		return false, store.Errorf(store.Unavailable, "node %s cannot be reached just now", m.Name)
	}
	err = l.io.Verify(ctx, p.part, index)
	if err == nil {
		return false, nil
	}
	switch store.KindOf(err) {
	case store.NotFound, store.Corrupt, store.OutOfRange:
		return true, nil
	}
	if ctx.Err() == nil {
		l.cfg.Fleet.Report(at.Node, err)
	}
	if store.KindOf(err) == store.Internal && p.task.Attempts >= lostAfter && ctx.Err() == nil {
		return true, nil
	}
	return false, err
}

// lostAfter is the number of attempts after which the chunk counts as lost on a node that answers always with an internal
// error: its bytes cannot be used there.
const lostAfter = 5
