package engine

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// PartRequest is one part of a session.
type PartRequest struct {
	Session store.FileID
	Number  int    // 1..store.MaxParts; parts make the file in the order of their numbers
	Size    int64  // bytes the body will have, or -1 when unknown
	Most    int64  // as in PutRequest
	Append  bool   // do not replace: Conflict when the session has a part of the number
	Caller  string // as in PutRequest
	// Verify is called once all bytes are in, before the part takes its place in the
	// session; an error fails the put and is returned as it is. May be nil.
	Verify    func(Sums) error
	Interrupt func(error) // as in PutRequest
	Body      io.Reader   // read to its end, from one goroutine, until PutPart returns
}

// PutPart stores the body as a part of a session, in the place of the part that
// has its number. When it returns nil the part is as durable as a file that was put. On an
// error the session is as it was before, except where the kind is Unavailable with the
// metadata store lost while the part was saved: then either is possible, and to put it again is safe.
// Errors: those of Put, NotFound (session), Invalid (number, no bytes).
func (e *Engine) PutPart(ctx context.Context, r PartRequest) (store.SessionPart, error) {
	up, err := e.newPartUpload(ctx, r)
	if err != nil {
		return store.SessionPart{}, err
	}
	if err := up.write.run(ctx); err != nil {
		up.discard()
		return store.SessionPart{}, err
	}
	return up.save(ctx)
}

// partUpload is a part of a session on its way.
type partUpload struct {
	e       *Engine
	req     PartRequest
	session store.Session
	write   *partWrite
	begun   []store.Part // what BeginPart has written down
}

func (e *Engine) newPartUpload(ctx context.Context, r PartRequest) (*partUpload, error) {
	if err := store.ValidPartNumber(r.Number); err != nil {
		return nil, err
	}
	if r.Size > e.cfg.MaxPartSize {
		return nil, partTooLarge(e.cfg.MaxPartSize)
	}
	s, err := e.sessionFacts(ctx, r.Session)
	if err != nil {
		return nil, err
	}
	bucket, err := e.bucket(ctx, s.Bucket)
	if err != nil {
		return nil, err
	}
	p, err := e.planFor(bucket)
	if err != nil {
		return nil, err
	}
	u := &partUpload{e: e, req: r, session: s}
	in := newIntake(r.Body, r.Size, e.cfg.MaxPartSize, false)
	in.caller, in.interrupt = r.Caller, r.Interrupt
	in.atMost(r.Most)
	u.write = &partWrite{e: e, plan: p, in: in, number: r.Number, begin: u.writeDown, verify: u.verify, label: u.label}
	return u, nil
}

func (e *Engine) sessionFacts(ctx context.Context, id store.FileID) (store.Session, error) {
	if s, ok := e.sessions.get(id); ok {
		return s, nil
	}
	s, err := e.Session(ctx, id)
	if err == nil {
		e.sessions.keep(s)
	}
	return s, err
}

// writeDown records where the part is going, so that its chunks are reclaimed
// with the session when this gateway does not live to save it.
func (u *partUpload) writeDown(ctx context.Context, part store.Part) error {
	if err := u.e.meta.BeginPart(ctx, u.req.Session, part); err != nil {
		return u.lost(err)
	}
	u.begun = []store.Part{part}
	return nil
}

func (u *partUpload) verify(s Sums) error {
	if s.Size == 0 {
		return store.Errorf(store.Invalid, "a part has at least one byte").WithHint("Leave empty parts out; a file without bytes needs none.")
	}
	if u.req.Verify == nil {
		return nil
	}
	return u.req.Verify(s)
}

func (u *partUpload) label(p store.Part) store.Label {
	return store.Label{
		File: u.session.ID, Bucket: u.session.Bucket, Key: u.session.Key, ContentType: u.session.ContentType,
		CreatedAt: u.session.CreatedAt.UnixMicro(), FileSize: u.session.Size,
		PartNumber: p.Number, PartOffset: -1, PartSize: p.Size, PartCRC64: p.CRC64,
		K: p.K, M: p.M, UnitSize: p.UnitSize,
	}
}

// save gives the part its place in the session. All its chunks are durable.
func (u *partUpload) save(ctx context.Context) (store.SessionPart, error) {
	if err := ctx.Err(); err != nil {
		u.discard() // the caller has left: nothing is started for it
		return store.SessionPart{}, &store.Error{Op: "engine.PutPart", Kind: store.Canceled, Err: err}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	part := u.write.part
	save := u.e.meta.SavePart
	if u.req.Append {
		save = u.e.meta.AddPart
	}
	err := save(ctx, u.req.Session, part, u.e.cfg.SessionTTL) // here the part is acknowledged
	switch {
	case err == nil:
		return u.saved(), nil
	case outcomeOpen(err):
		return u.resolve(err)
	}
	u.discard()
	return store.SessionPart{}, u.lost(err)
}

// saved is what a part that was saved makes due.
func (u *partUpload) saved() store.SessionPart {
	u.write.sweep(u.req.Session)
	if u.write.wantsRepair() {
		u.e.cfg.WakeRepair()
	}
	return store.SessionPart{Part: u.write.part, StoredAt: nowMicros()}
}

// resolve fences a save whose answer was lost: it was first, and the part is the session's, or it can never happen.
func (u *partUpload) resolve(cause error) (store.SessionPart, error) {
	switch u.e.resolveOutcome(u.drop, func(found outcome) {
		if found == happened {
			u.saved()
		}
	}) {
	case happened:
		return u.saved(), nil
	case abandoned:
		return store.SessionPart{}, notDone("engine.PutPart", cause)
	}
	return store.SessionPart{}, notKnown("engine.PutPart", u.req.Session.String(), cause)
}

// lost makes an error of the store that says "no such session" one that says what to do.
func (u *partUpload) lost(err error) error {
	if errors.Is(err, store.NotFound) {
		u.e.sessions.forget(u.req.Session)
		return noSession(u.req.Session, err)
	}
	return err
}

// discard gives the part's chunks to the reclaim queue, in the background, as an upload's discard does.
func (u *partUpload) discard() {
	if len(u.begun) == 0 && len(u.write.orphans()) == 0 {
		return
	}
	u.e.persist(u.drop, func(err error) {
		u.e.cfg.Log.Warn("chunks of a failed part stay on their nodes until its session ends", "session", u.req.Session, "part", u.req.Number, "error", err)
	})
}

// drop makes a save of the part impossible and queues its chunks. Conflict where it is saved.
func (u *partUpload) drop(ctx context.Context) error {
	for _, p := range append(slices.Clone(u.write.stored), u.begun...) {
		if err := u.e.meta.DropPart(ctx, p); err != nil {
			return err
		}
	}
	var err error
	if len(u.write.uncertain) > 0 {
		err = u.e.meta.Enqueue(ctx, u.write.uncertain)
	}
	u.e.cfg.WakeReclaim()
	return err
}

func partTooLarge(limit int64) error {
	return store.Errorf(store.TooLarge, "the part is larger than the limit of %d bytes", limit).WithHint("Send smaller parts.")
}

// CopyPartRequest makes a part of a session of bytes that are stored already.
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
