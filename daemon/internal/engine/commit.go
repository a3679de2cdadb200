package engine

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// commitLimit bounds the metadata transaction of a put. The client's going away
// must not cut it short: that would leave its outcome open for nothing.
const commitLimit = 15 * time.Second

// commit makes the file visible. All its chunks are durable.
func (u *upload) commit(ctx context.Context) (store.File, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	stored, replaced, err := u.e.meta.CommitFile(ctx, u.file, u.begun) // here the write becomes visible, and acknowledged
	if err != nil {
		return u.settle(err)
	}
	u.after(!replaced.IsZero())
	stored.Parts = u.file.Parts
	return stored, nil
}

// after starts the upkeep that the commit made due.
func (u *upload) after(replaced bool) {
	u.write.sweep(u.file.ID)
	if replaced {
		u.e.cfg.Reclaim()
	}
	if u.write.wantsRepair() {
		u.e.cfg.Repair()
	}
}

// settle deals with a commit that failed. Where the store refused it, the chunks go.
// Where the store was lost on the way, the file may be visible: then it is asked,
// and as long as it does not answer nothing may be deleted.
func (u *upload) settle(err error) (store.File, error) {
	if !outcomeOpen(err) {
		u.discard(err)
		return store.File{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), asideLimit)
	defer cancel()
	f, lookup := u.e.meta.File(ctx, u.file.ID)
	switch {
	case lookup == nil && f.State == store.Complete:
		u.after(true)
		return f, nil
	case lookup == nil || store.KindOf(lookup) == store.NotFound:
		u.discard(err)
		return store.File{}, err
	}
	return store.File{}, &store.Error{
		Op: "engine.Put", Kind: store.Unavailable, Item: u.file.ID.String(), Err: err,
		Msg:  "the metadata store was lost while the file was being committed; whether it is stored is not known",
		Hint: "When the metadata store is back, look the file up, or send it again.",
	}
}

// outcomeOpen says whether a step of the metadata store that returned err may have happened all the same.
func outcomeOpen(err error) bool {
	switch store.KindOf(err) {
	case store.Unavailable, store.Canceled, store.Internal:
		return true
	}
	return false
}

// discard gives the upload's chunks to the reclaim queue. It works aside: the
// client is answered at once, and need not be there any more.
func (u *upload) discard(cause error) {
	tasks := u.write.litter()
	if !u.begun && len(tasks) == 0 {
		return
	}
	u.e.goAside(func(ctx context.Context) {
		err := u.forget(ctx, cause, tasks)
		if err != nil {
			u.e.cfg.Log.Warn("chunks of a failed upload stay on their nodes until it expires", "file", u.file.ID, "error", err)
			return
		}
		u.e.cfg.Reclaim()
	})
}

func (u *upload) forget(ctx context.Context, cause error, tasks []store.Task) error {
	if u.begun {
		if err := u.e.meta.FailFile(ctx, u.file.ID, cause.Error(), u.write.tidy); err != nil && store.KindOf(err) != store.NotFound {
			return err
		}
		tasks = u.write.strays
	}
	if len(tasks) == 0 {
		return nil
	}
	return u.e.meta.Enqueue(ctx, tasks)
}

func reclaimsOf(p store.Part) []store.Task {
	var tasks []store.Task
	for i, c := range p.Chunks {
		if !c.Node.IsZero() {
			tasks = append(tasks, store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(i), Node: c.Node, Reason: "its upload failed"})
		}
	}
	return tasks
}
