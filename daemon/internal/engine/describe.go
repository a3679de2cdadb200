package engine

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Description is a file with the places of its bytes.
type Description struct {
	File     store.File
	Parts    []PartDescription
	Survives int // further node failures that it survives, counting only nodes that can be reached; -1 when it cannot be read now
	Wanted   int // node failures that its bucket requires it to survive
}

// PartDescription is one part with its chunks.
type PartDescription struct {
	store.Part
	Chunks []ChunkDescription // by index; hides Part.Chunks
}

// ChunkDescription is one chunk and the node it is on.
type ChunkDescription struct {
	ID        store.ChunkID
	Node      store.NodeID // zero: it is on no node, and queued for repair
	NodeName  string
	Zone      string
	Reachable bool
	Bytes     int64
	Role      string // "data", "parity" or "copy"
}

// Describe returns a file of any state with the places of its chunks. NotFound.
func (e *Engine) Describe(ctx context.Context, id store.FileID) (Description, error) {
	f, err := e.meta.File(ctx, id)
	if isGone(f, err) {
		return Description{}, noFile(id)
	}
	if err != nil {
		return Description{}, err
	}
	parts, err := store.AllParts(ctx, e.meta, f)
	if err != nil {
		return Description{}, err
	}
	d := Description{File: f, Survives: -1, Wanted: e.cfg.Survive}
	if b, err := e.bucket(ctx, f.Bucket); err == nil && b.Survive != store.SurviveDefault {
		d.Wanted = b.Survive
	}
	view := e.fleet.View()
	for _, p := range parts {
		d.Parts = append(d.Parts, describePart(view, p))
	}
	if f.State == store.Complete {
		d.Survives = survivesNow(view, parts)
	}
	return d, nil
}

func describePart(view *cluster.View, p store.Part) PartDescription {
	out := PartDescription{Part: p}
	for i, c := range p.Chunks {
		d := ChunkDescription{ID: p.ChunkID(i), Node: c.Node, Bytes: p.ChunkSize(), Role: role(p, i)}
		if m, ok := view.Member(c.Node); ok {
			d.NodeName, d.Zone, d.Reachable = m.Name, m.EffectiveZone(), m.Readable()
		}
		out.Chunks = append(out.Chunks, d)
	}
	return out
}

func role(p store.Part, index int) string {
	switch {
	case p.K == 1:
		return "copy"
	case index < p.K:
		return "data"
	}
	return "parity"
}

// survivesNow is the minimum over all parts. A file without bytes has
// no chunk to lose: it survives as many failures as there are nodes.
func survivesNow(view *cluster.View, parts []store.Part) int {
	least := len(view.Members)
	for _, p := range parts {
		least = min(least, view.Survives(p))
	}
	return least
}

// Health is the state of the metadata store and the nodes.
type Health struct {
	Metadata error // nil when the metadata store answers
	Nodes    []cluster.Member
	Writable int // nodes that take new chunks
	Survive  int // node failures that new data survives now, in buckets without a policy of their own; -1 when nothing can be written
	Wanted   int // node failures that it should survive
}

// Health checks the metadata store and evaluates the current view of the nodes.
func (e *Engine) Health(ctx context.Context) Health {
	view := e.fleet.View()
	h := Health{Metadata: e.meta.Ping(ctx), Nodes: view.Members, Survive: -1, Wanted: e.cfg.Survive}
	for _, m := range view.Members {
		if m.Writable() {
			h.Writable++
		}
	}
	if p, err := view.Plan(e.cfg.Survive); err == nil {
		h.Survive = p.AtOnce
	}
	return h
}
