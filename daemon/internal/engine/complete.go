package engine

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/checksum"
)

// CompleteRequest completes a session. What it states must hold of the file.
type CompleteRequest struct {
	store.Change
	Session     store.FileID
	Parts       []PartRef // of the file, by ascending number; nil: all that have arrived
	Size        int64     // bytes that the file must have; -1: any
	CRC64       *uint64   // CRC64NVME that the file must have; nil: any
	MinPartSize int64     // bytes that every part but the last must have
}

// PartRef names a part and the checksum that it must have.
type PartRef struct {
	Number int
	CRC64  *uint64 // nil: any
}

// CompleteSession makes the parts of a session a file, which has the session's
// id, and makes it the latest of its key. The parts must have the size and checksums that the request and
// the creation of the session state; otherwise nothing changes and the session stays
// open. Parts that the request does not name are reclaimed. The completion of a session that was completed before returns
// its file, if it is the one that the request describes, so a request whose answer was lost can be repeated.
//
// Errors: NotFound, Conflict (a part is missing or differs), Corrupt (checksum of the
// whole), Invalid (size, a part too small, order), TooLarge, PreconditionFailed, Unavailable, OutcomeUnknown.
func (e *Engine) CompleteSession(ctx context.Context, r CompleteRequest) (store.File, error) {
	s, err := e.Session(ctx, r.Session)
	if errors.Is(err, store.NotFound) {
		return e.completedBefore(ctx, r, err)
	}
	if err != nil {
		return store.File{}, err
	}
	parts, err := choose(s.Parts, r.Parts)
	if err != nil {
		return store.File{}, err
	}
	if err := smallest(parts, r.MinPartSize); err != nil {
		return store.File{}, err
	}
	c := store.Completion{Change: r.Change, File: assemble(s, parts), Sessions: []store.FileID{s.ID}}
	return e.commitSessions(ctx, c, expectation{s.Size, s.CRC64}, expectation{r.Size, r.CRC64})
}

// Concatenate makes one file of the parts of several sessions, in the order of the
// sessions, and ends these. Errors: those of CompleteSession.
func (e *Engine) Concatenate(ctx context.Context, r SessionRequest, sessions []store.FileID) (store.File, error) {
	whole := store.Session{
		ID: store.NewFileID(), Bucket: r.Bucket, Key: r.Key, Size: r.Size, ContentType: r.ContentType, Meta: r.Meta,
		CRC64: r.CRC64,
	}
	if err := whole.Validate(); err != nil {
		return store.File{}, err
	}
	var parts []store.Part
	for _, id := range sessions {
		s, err := e.Session(ctx, id)
		if err != nil {
			return store.File{}, err
		}
		for _, p := range s.Parts {
			p.Number = len(parts) + 1
			parts = append(parts, p.Part)
		}
	}
	if err := store.ValidPartNumber(max(len(parts), 1)); err != nil {
		return store.File{}, err
	}
	c := store.Completion{Change: store.Change{Caller: r.Caller}, File: assemble(whole, parts), Sessions: sessions}
	return e.commitSessions(ctx, c, expectation{r.Size, r.CRC64})
}

// choose returns the requested ones of the parts that have arrived. Both are ordered by number.
func choose(have []store.SessionPart, want []PartRef) ([]store.Part, error) {
	if want == nil {
		all := make([]store.Part, len(have))
		for i, p := range have {
			all[i] = p.Part
		}
		return all, nil
	}
	parts := make([]store.Part, 0, len(want))
	for i, w := range want {
		if i > 0 && w.Number <= want[i-1].Number {
			return nil, store.Errorf(store.Invalid, "part %d is named after part %d", w.Number, want[i-1].Number).WithHint("Name each part once, by ascending number.")
		}
		at, found := slices.BinarySearchFunc(have, w.Number, func(p store.SessionPart, n int) int { return p.Number - n })
		if !found {
			return nil, store.Errorf(store.Conflict, "part %d has not arrived", w.Number).WithHint("Send the part, then complete the session again.")
		}
		p := have[at].Part
		if w.CRC64 != nil && *w.CRC64 != p.CRC64 {
			return nil, store.Errorf(store.Conflict, "part %d has the checksum %s, not %s", w.Number, checksum.Encode(p.CRC64), checksum.Encode(*w.CRC64)).
				WithHint("Send the part again, then complete the session again.")
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// smallest refuses parts that are too small: each part costs its own reads.
func smallest(parts []store.Part, least int64) error {
	for _, p := range parts[:max(len(parts)-1, 0)] {
		if p.Size < least {
			return store.Errorf(store.Invalid, "part %d has %d bytes; every part but the last has at least %d", p.Number, p.Size, least).
				WithHint("Send larger parts in place of the small ones, or leave them out.")
		}
	}
	return nil
}

// assemble returns the file that has these parts.
func assemble(s store.Session, parts []store.Part) store.File {
	f := store.File{
		ID: s.ID, Bucket: s.Bucket, Key: s.Key, ContentType: s.ContentType, Meta: s.Meta, Attributes: s.Attributes,
		CreatedAt: s.CreatedAt, ETag: s.ID.ETag(), Parts: parts,
	}
	for _, p := range parts {
		f.Size += p.Size
		f.CRC64 = checksum.Combine(f.CRC64, p.CRC64, p.Size)
	}
	return f
}

// expectation is the size and checksum that a file must have.
type expectation struct {
	size  int64   // -1: any
	crc64 *uint64 // nil: any
}

func (x expectation) check(f store.File) error {
	switch {
	case x.size >= 0 && x.size != f.Size:
		return store.Errorf(store.Invalid, "the parts have %d bytes together, the file must have %d", f.Size, x.size).
			WithHint("Send the parts that are missing; GET the session shows what has arrived.")
	case x.crc64 != nil && *x.crc64 != f.CRC64:
		return store.Errorf(store.Corrupt, "the parts have the CRC64NVME %s together, the file must have %s", checksum.Encode(f.CRC64), checksum.Encode(*x.crc64)).
			WithHint("Compare the parts' checksums with your own, and send those that differ again.")
	}
	return nil
}

// completedBefore returns the file of a session that does not exist any more, if it was completed.
func (e *Engine) completedBefore(ctx context.Context, r CompleteRequest, missing error) (store.File, error) {
	f, err := e.meta.File(ctx, r.Session)
	switch {
	case isGone(f, err), err == nil && f.State != store.Complete:
		return store.File{}, missing
	case err != nil:
		return store.File{}, err
	}
	if err := (expectation{r.Size, r.CRC64}).check(f); err != nil {
		return store.File{}, store.Errorf(store.Conflict, "the session was completed before, with other content: %w", err).
			WithHint("Begin a new session.")
	}
	return f, nil
}

// commitSessions makes the file visible, if it is what is expected. Its parts are durable.
func (e *Engine) commitSessions(ctx context.Context, c store.Completion, expected ...expectation) (stored store.File, err error) {
	for _, want := range expected {
		if err := want.check(c.File); err != nil {
			return store.File{}, err
		}
	}
	if c.File.Size > e.cfg.MaxSessionFile {
		return store.File{}, tooLarge(e.cfg.MaxSessionFile)
	}
	if err := e.readable(c.File.Parts); err != nil {
		return store.File{}, err
	}
	done, err := e.change(ctx, "engine.CompleteSession", func(ctx context.Context, a store.AttemptID) (err error) {
		c.Attempt = a
		stored, _, err = e.meta.CompleteSession(ctx, c) // here the upload becomes visible, and acknowledged
		return err
	})
	if done {
		stored, err = e.meta.File(context.WithoutCancel(ctx), c.File.ID)
	}
	if err != nil {
		return store.File{}, err
	}
	for _, id := range c.Sessions {
		e.sessions.forget(id)
	}
	e.cfg.WakeReclaim() // for the file that was replaced, and for parts that the file does not have
	e.cfg.WakeRepair()
	return stored, nil
}

// readable refuses to complete a file with parts that cannot be read now, and names them.
func (e *Engine) readable(parts []store.Part) error {
	view := e.fleet.View()
	var lost []string
	for _, p := range parts {
		if view.Survives(p) < 0 {
			lost = append(lost, strconv.Itoa(p.Number))
		}
	}
	if lost == nil {
		return nil
	}
	const few = 20
	named := strings.Join(lost[:min(few, len(lost))], ", ")
	if len(lost) > few {
		named += " and " + strconv.Itoa(len(lost)-few) + " more"
	}
	return store.Errorf(store.Conflict, "%d of %d parts cannot be read, because too many of their storage nodes cannot be reached: part %s", len(lost), len(parts), named).
		WithHint("Bring the storage nodes back, or send these parts again; then complete the session again.")
}

func nowMicros() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
