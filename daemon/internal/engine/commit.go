package engine

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// commit makes the file visible. Its bytes are durable.
func (u *upload) commit(ctx context.Context) (store.File, error) {
	if err := ctx.Err(); err != nil {
		err = &store.Error{Op: "engine.Put", Kind: store.Canceled, Err: err}
		return u.fail(err) // the caller has left: nothing is started for it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err := u.queueUncertain(ctx); err != nil {
		return u.fail(err)
	}
	u.file.Parts = u.stored
	stored, replaced, err := u.e.meta.CommitFile(ctx, store.Commit{Change: u.req.Change, File: u.file, Begun: u.begun}) // here the write becomes visible, and acknowledged
	switch {
	case err == nil:
		u.after(!replaced.IsZero())
		stored.Parts = u.file.Parts
		return stored, nil
	case outcomeOpen(err):
		return u.resolve(err)
	}
	return u.fail(err)
}

// after wakes the loops for which the commit made work.
func (u *upload) after(replaced bool) {
	if replaced {
		u.e.cfg.WakeReclaim()
	}
	if u.wantsRepair() {
		u.e.cfg.WakeRepair()
	}
}

// resolve fences a commit whose answer was lost: either it has happened, and the write succeeded, or it never will.
func (u *upload) resolve(cause error) (store.File, error) {
	fence := func(ctx context.Context) error { return u.fence(ctx, cause) }
	if err := u.e.resolveOutcome("engine.Put", u.file.ID.String(), cause, fence, func() { u.after(true) }); err != nil {
		return store.File{}, err
	}
	u.after(true)
	return u.committed(), nil
}

// committed is the file of a commit that is known to have happened. Its times are read from the metadata store if it answers.
func (u *upload) committed() store.File {
	ctx, cancel := context.WithTimeout(context.Background(), fenceLimit)
	defer cancel()
	if f, err := u.e.meta.File(ctx, u.file.ID); err == nil && f.State == store.Complete {
		return f
	}
	f := u.file
	now := nowMicros() // it was replaced since, or the store does not answer again
	f.State, f.CreatedAt, f.CompletedAt = store.Complete, now, now
	return f
}

// discard queues the upload's chunks for reclaim, in the background: the
// client is answered at once, and may have disconnected. The commit was refused, or never sent.
func (u *upload) discard(cause error) {
	if !u.begun && len(u.orphans()) == 0 {
		return
	}
	u.e.persist(u.ctx, func(ctx context.Context) error { return u.forget(ctx, cause) }, func(err error) {
		u.e.cfg.Log.WarnContext(u.ctx, "chunks of a failed upload stay on their nodes", "file", u.file.ID, "recorded", u.begun, "error", err)
	})
}

func (u *upload) forget(ctx context.Context, cause error) error {
	if u.begun {
		return u.fence(ctx, cause)
	}
	if err := u.e.meta.Enqueue(ctx, u.orphans()); err != nil {
		return err
	}
	u.e.cfg.WakeReclaim()
	return nil
}

// fence makes a commit of the file impossible and queues its chunks. Conflict where it is committed.
func (u *upload) fence(ctx context.Context, cause error) error {
	err := u.e.meta.FailFile(ctx, u.file, cause.Error(), u.stored)
	if err != nil {
		return err
	}
	if len(u.uncertain) > 0 {
		err = u.e.meta.Enqueue(ctx, u.uncertain)
	}
	u.e.cfg.WakeReclaim()
	return err
}

// Delete makes a file of any state Deleted. Reads in progress complete; its chunks are reclaimed after the
// grace, those on nodes that are away when the nodes return. NotFound, PreconditionFailed, OutcomeUnknown.
func (e *Engine) Delete(ctx context.Context, id store.FileID, ch store.Change) error {
	return e.remove(ctx, store.Deletion{Change: ch, File: id})
}

// DeleteLatest deletes the latest file of a key, found and deleted in one step of the metadata store: the condition is decided for
// the file that is deleted. Afterwards the key shows nothing. Errors: Invalid, NotFound, PreconditionFailed, OutcomeUnknown.
func (e *Engine) DeleteLatest(ctx context.Context, bucket store.BucketName, key store.Key, ch store.Change) error {
	if err := validNames(bucket, key); err != nil {
		return err
	}
	return e.remove(ctx, store.Deletion{Change: ch, Bucket: bucket, Key: key})
}

func (e *Engine) remove(ctx context.Context, d store.Deletion) error {
	_, err := e.change(ctx, "engine.Delete", func(ctx context.Context, a store.AttemptID) error {
		d.Attempt = a
		return e.meta.DeleteFile(ctx, d)
	})
	if err != nil {
		return err
	}
	e.cfg.WakeReclaim()
	return nil
}

// Rename moves the latest file of its key to another key, in one step of the metadata store.
// The file that the other key had is replaced. The bytes stay where they are, with the durability that they
// were stored with. Errors: Invalid, NotFound, Conflict (the file is not what its key shows), PreconditionFailed, OutcomeUnknown.
func (e *Engine) Rename(ctx context.Context, id store.FileID, bucket store.BucketName, key store.Key, ch store.Change) (f store.File, err error) {
	if err := validNames(bucket, key); err != nil {
		return store.File{}, err
	}
	done, err := e.change(ctx, "engine.Rename", func(ctx context.Context, a store.AttemptID) (err error) {
		f, _, err = e.meta.RenameFile(ctx, store.Rename{Change: ch, File: id, Bucket: bucket, Key: key, Attempt: a})
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

// isGone reports whether a lookup returned a file that requests must not see.
func isGone(f store.File, err error) bool {
	return errors.Is(err, store.NotFound) || err == nil && f.State == store.Deleted
}
