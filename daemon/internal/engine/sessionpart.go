package engine

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// PartRequest is one part of a session.
type PartRequest struct {
	Session store.FileID
	Number  int    // 1..store.MaxParts; the file has the parts in the order of their numbers
	Size    int64  // bytes of the body, or -1 when unknown
	Most    int64  // as in PutRequest
	Append  bool   // do not replace: Conflict when the session has a part of the number
	Caller  string // as in PutRequest
	// Verify is called once all bytes were read, before the part becomes one of the
	// session's; its error fails the put and is returned unchanged. May be nil.
	Verify    func(Sums) error
	Interrupt func(error) // as in PutRequest
	Body      io.Reader   // read to its end, from one goroutine, until PutPart returns
}

// PutPart stores the body as a part of a session. It replaces the part that
// has its number. When it returns nil the part is as durable as a file that was put. On an
// error the session is unchanged, except where the kind is OutcomeUnknown: the
// metadata store was lost while the part was saved. Putting the part again is safe.
// Errors: those of Put, NotFound (session), Invalid (number, no bytes), Conflict (Append).
func (e *Engine) PutPart(ctx context.Context, r PartRequest) (store.SessionPart, error) {
	u, err := e.planPart(ctx, r)
	if err != nil {
		return store.SessionPart{}, err
	}
	defer u.close()
	if err := u.begin(ctx, r.Number); err != nil {
		return u.fail(err)
	}
	if err := u.recordIntent(ctx); err != nil {
		return u.fail(err)
	}
	for u.more() {
		units, err := u.encode(ctx)
		if err != nil {
			return u.fail(err)
		}
		if err := u.send(ctx, units); err != nil {
			return u.fail(err)
		}
	}
	if err := u.verify(); err != nil {
		return u.fail(err)
	}
	if err := u.makeDurable(u.label()); err != nil {
		return u.fail(err)
	}
	return u.save(ctx)
}

// partUpload is an upload of a part of a session in progress.
type partUpload struct {
	partWrite
	req     PartRequest
	session store.Session
	begun   []store.Part // that BeginPart has recorded
}

// planPart checks all of the request that can be checked before its first byte, and plans the layout.
func (e *Engine) planPart(ctx context.Context, r PartRequest) (*partUpload, error) {
	if err := store.ValidPartNumber(r.Number); err != nil {
		return nil, err
	}
	if r.Size > e.cfg.MaxPartSize {
		return nil, store.Errorf(store.TooLarge, "the part is larger than the limit of %d bytes", e.cfg.MaxPartSize).WithHint("Send smaller parts.")
	}
	s, err := e.cachedSession(ctx, r.Session)
	if err != nil {
		return nil, err
	}
	plan, err := e.planFor(ctx, s.Bucket)
	if err != nil {
		return nil, err
	}
	body := newBodyReader(r.Body, r.Size, r.Most, e.cfg.MaxPartSize, false)
	body.caller, body.interrupt = r.Caller, r.Interrupt
	return &partUpload{partWrite: partWrite{e: e, ctx: context.WithoutCancel(ctx), plan: plan, body: body}, req: r, session: s}, nil
}

// cachedSession returns the constant properties of a session, without parts.
func (e *Engine) cachedSession(ctx context.Context, id store.FileID) (store.Session, error) {
	if s, ok := e.sessions.get(id); ok {
		return s, nil
	}
	s, err := e.Session(ctx, id)
	if err == nil {
		e.sessions.keep(s)
	}
	return s, err
}

// recordIntent records where the chunks of a striped part will be, so that they are reclaimed
// with the session when this gateway does not live to save the part.
func (u *partUpload) recordIntent(ctx context.Context) error {
	if u.part.K == 1 {
		return nil
	}
	if err := u.e.meta.BeginPart(ctx, u.req.Session, u.part); err != nil {
		return u.lost(err)
	}
	u.begun = []store.Part{u.part}
	return nil
}

func (u *partUpload) verify() error {
	sums := u.seal()
	if sums.Size == 0 {
		return store.Errorf(store.Invalid, "a part has at least one byte").WithHint("Leave empty parts out; a file without bytes needs none.")
	}
	if u.req.Verify == nil {
		return nil
	}
	return u.req.Verify(sums)
}

// label is stored with each chunk. Where the part begins in the file is known only when the session is completed.
func (u *partUpload) label() chunk.Label {
	l, s := u.partWrite.label(), u.session
	l.File, l.Bucket, l.Key, l.ContentType, l.CreatedAt, l.FileSize = s.ID, s.Bucket, s.Key, s.ContentType, s.CreatedAt.UnixMicro(), s.Size
	l.PartOffset = -1
	return l
}

// fail ends the upload: what it left on nodes is reclaimed.
func (u *partUpload) fail(err error) (store.SessionPart, error) {
	u.discard()
	return store.SessionPart{}, err
}

// save makes the part one of the session's. Its bytes are durable.
func (u *partUpload) save(ctx context.Context) (store.SessionPart, error) {
	if err := ctx.Err(); err != nil {
		return u.fail(&store.Error{Op: "engine.PutPart", Kind: store.Canceled, Err: err}) // the caller has left: nothing is started for it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err := u.queueUncertain(ctx); err != nil {
		return u.fail(err)
	}
	save := u.e.meta.SavePart
	if u.req.Append {
		save = u.e.meta.AddPart
	}
	err := save(ctx, store.SessionChange{Session: u.req.Session, Caller: u.req.Caller}, u.part, u.e.cfg.SessionTTL) // here the part is acknowledged
	switch {
	case err == nil:
		return u.saved(), nil
	case outcomeOpen(err):
		return u.resolve(err)
	}
	return u.fail(u.lost(err))
}

// saved wakes the loops for which the save made work, and returns the part.
func (u *partUpload) saved() store.SessionPart {
	if u.wantsRepair() {
		u.e.cfg.WakeRepair()
	}
	return store.SessionPart{Part: u.part, StoredAt: nowMicros()}
}

// resolve fences a save whose answer was lost: either it has happened, and the part is the session's, or it never will.
func (u *partUpload) resolve(cause error) (store.SessionPart, error) {
	if err := u.e.resolveOutcome("engine.PutPart", u.req.Session.String(), cause, u.drop, func() { u.saved() }); err != nil {
		return store.SessionPart{}, err
	}
	return u.saved(), nil
}

// lost turns the store's NotFound into an error that tells the client what to do.
func (u *partUpload) lost(err error) error {
	if errors.Is(err, store.NotFound) {
		u.e.sessions.forget(u.req.Session)
		return noSession(u.req.Session, err)
	}
	return err
}

// discard queues the part's chunks for reclaim, in the background.
func (u *partUpload) discard() {
	if len(u.begun) == 0 && len(u.orphans()) == 0 {
		return
	}
	u.e.persist(u.ctx, u.drop, func(err error) {
		u.e.cfg.Log.WarnContext(u.ctx, "chunks of a failed part stay on their nodes until its session ends", "session", u.req.Session, "part", u.req.Number, "error", err)
	})
}

// drop makes a save of the part impossible and queues its chunks. Conflict where it is saved.
func (u *partUpload) drop(ctx context.Context) error {
	for _, p := range append(slices.Clone(u.stored), u.begun...) {
		if err := u.e.meta.DropPart(ctx, p); err != nil {
			return err
		}
	}
	var err error
	if len(u.uncertain) > 0 {
		err = u.e.meta.Enqueue(ctx, u.uncertain)
	}
	u.e.cfg.WakeReclaim()
	return err
}

// CopyPartRequest makes a range of a stored file a part of a session.
type CopyPartRequest struct {
	Session        store.FileID
	Number         int
	Source         store.FileID
	Offset, Length int64  // bytes; Length -1: to the end
	Caller         string // as in PutRequest
}

// CopyPart reads a range of a file and stores it as a part of a session.
// Errors: those of PutPart and Open, OutOfRange.
func (e *Engine) CopyPart(ctx context.Context, r CopyPartRequest) (store.SessionPart, error) {
	o, err := e.Open(ctx, r.Source)
	if err != nil {
		return store.SessionPart{}, err
	}
	if r.Length < 0 {
		r.Length = o.file.Size - r.Offset
	}
	if err := o.validRange(r.Offset, r.Length); err != nil {
		return store.SessionPart{}, err
	}
	body := o.reader(ctx, r.Offset, r.Length)
	defer body.Close()
	return e.PutPart(ctx, PartRequest{Session: r.Session, Number: r.Number, Size: r.Length, Caller: r.Caller, Body: body})
}
