package engine

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// commit makes the file visible. All its chunks are durable.
func (u *upload) commit(ctx context.Context) (store.File, error) {
	if err := ctx.Err(); err != nil {
		err = &store.Error{Op: "engine.Put", Kind: store.Canceled, Err: err}
		u.discard(err) // the caller has left: nothing is started for it
		return store.File{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	stored, replaced, err := u.e.meta.CommitFile(ctx, u.file, u.begun) // here the write becomes visible, and acknowledged
	switch {
	case err == nil:
		u.after(!replaced.IsZero())
		stored.Parts = u.file.Parts
		return stored, nil
	case outcomeOpen(err):
		return u.resolve(err)
	}
	u.discard(err)
	return store.File{}, err
}

// after starts the upkeep that the commit made due.
func (u *upload) after(replaced bool) {
	u.write.sweep(u.file.ID)
	if replaced {
		u.e.cfg.WakeReclaim()
	}
	if u.write.wantsRepair() {
		u.e.cfg.WakeRepair()
	}
}

// resolve fences a commit whose answer was lost: it was first, and the write succeeded, or it can never happen.
func (u *upload) resolve(cause error) (store.File, error) {
	found := u.e.resolveOutcome(func(ctx context.Context) error { return u.fail(ctx, cause) }, func(found outcome) {
		if found == happened {
			u.after(true)
		}
	})
	switch found {
	case happened:
		u.after(true)
		return u.committed(), nil
	case abandoned:
		return store.File{}, notDone("engine.Put", cause)
	}
	return store.File{}, notKnown("engine.Put", u.file.ID.String(), cause)
}

// committed is the file of a commit that is known to have happened. Its times are read where that is possible.
func (u *upload) committed() store.File {
	ctx, cancel := context.WithTimeout(context.Background(), fenceLimit)
	defer cancel()
	if f, err := u.e.meta.File(ctx, u.file.ID); err == nil && f.State == store.Complete {
		return f
	}
	f := u.file
	f.State, f.CompletedAt = store.Complete, nowMicros() // it was replaced since, or the store is lost again
	return f
}

// discard gives the upload's chunks to the reclaim queue, in the background: the
// client is answered at once, and need not be there any more. The commit was refused, or never sent.
func (u *upload) discard(cause error) {
	if !u.begun && len(u.write.orphans()) == 0 {
		return
	}
	u.e.persist(func(ctx context.Context) error { return u.forget(ctx, cause) }, func(err error) {
		u.e.cfg.Log.Warn("chunks of a failed upload stay on their nodes", "file", u.file.ID, "recorded", u.begun, "error", err)
	})
}

func (u *upload) forget(ctx context.Context, cause error) error {
	if u.begun {
		return u.fail(ctx, cause)
	}
	if err := u.e.meta.Enqueue(ctx, u.write.orphans()); err != nil {
		return err
	}
	u.e.cfg.WakeReclaim()
	return nil
}

// fail makes a commit of the file impossible and queues its chunks. Conflict where it is committed.
func (u *upload) fail(ctx context.Context, cause error) error {
	err := u.e.meta.FailFile(ctx, u.file, cause.Error(), u.write.stored)
	if err != nil {
		return err
	}
	if len(u.write.uncertain) > 0 {
		err = u.e.meta.Enqueue(ctx, u.write.uncertain)
	}
	u.e.cfg.WakeReclaim()
	return err
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

// Delete makes a file of any state Deleted. Reads that began before still finish; its chunks are reclaimed after the
// grace, those on nodes that are away when they return. NotFound, OutcomeUnknown.
func (e *Engine) Delete(ctx context.Context, id store.FileID) error {
	_, err := e.change(ctx, "engine.Delete", func(ctx context.Context, a store.AttemptID) error { return e.meta.DeleteFile(ctx, id, a) })
	if err != nil {
		return err
	}
	e.cfg.WakeReclaim()
	return nil
}

// Rename gives a file that is latest another key, in one step whatever its size.
// What that key showed is replaced. The bytes stay where they are, with the durability that they
// were stored with. Errors: Invalid, NotFound, Conflict (the file is not what its key shows), OutcomeUnknown.
func (e *Engine) Rename(ctx context.Context, id store.FileID, bucket store.BucketName, key store.Key) (f store.File, err error) {
	if err := validNames(bucket, key); err != nil {
		return store.File{}, err
	}
	done, err := e.change(ctx, "engine.Rename", func(ctx context.Context, a store.AttemptID) (err error) {
		f, _, err = e.meta.RenameFile(ctx, id, bucket, key, a)
		return err
	})
	if done {
		f, err = e.meta.File(ctx, id)
	}
	if err != nil {
		return store.File{}, err
	}
	e.cfg.WakeReclaim()
	return f, nil
}

// isGone reports a file that requests must not see.
func isGone(f store.File, err error) bool {
	return errors.Is(err, store.NotFound) || err == nil && f.State == store.Deleted
}
