package mem

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// begunPart is a part whose chunks are being written.
type begunPart struct {
	store.Part
	session store.FileID
}

// CreateSession implements store.Sessions.
func (m *Metadata) CreateSession(ctx context.Context, x store.Session, ttl time.Duration, limits store.SessionLimits) (store.Session, error) {
	if err := x.Validate(); err != nil {
		return store.Session{}, err
	}
	if err := valid.TTL(ttl); err != nil {
		return store.Session{}, err
	}
	x = cloneSession(x)
	err := m.do(ctx, func(d *data) error {
		if _, err := d.bucket(x.Bucket); err != nil {
			return err
		}
		_, isSession := d.sessions[x.ID]
		if _, isFile := d.files[x.ID]; isSession || isFile {
			return store.Errorf(store.Exists, "a session or a file %s exists already", x.ID)
		}
		if err := d.withinLimits(x, limits); err != nil {
			return err
		}
		x.CreatedAt = d.now()
		x.ExpiresAt, x.Received, x.Parts = x.CreatedAt.Add(ttl).Truncate(time.Microsecond), 0, nil
		x.ChangedBy = x.Owner
		d.sessions[x.ID] = cloneSession(x)
		return nil
	})
	if err != nil {
		return store.Session{}, err
	}
	return x, nil
}

// withinLimits returns Unavailable when one more session would exceed a limit.
func (d *data) withinLimits(x store.Session, limits store.SessionLimits) error {
	var ofOwner, ofBucket int
	for _, other := range d.sessions {
		if d.expired(other) {
			continue
		}
		if other.Owner == x.Owner {
			ofOwner++
		}
		if other.Bucket == x.Bucket {
			ofBucket++
		}
	}
	switch {
	case limits.PerOwner > 0 && ofOwner >= limits.PerOwner:
		return limits.OwnerReached(x)
	case limits.PerBucket > 0 && ofBucket >= limits.PerBucket:
		return limits.BucketReached(x)
	}
	return nil
}

// Session implements store.Sessions.
func (m *Metadata) Session(ctx context.Context, id store.FileID) (x store.Session, err error) {
	err = m.do(ctx, func(d *data) error {
		found, err := d.session(id)
		x = cloneSession(found)
		return err
	})
	return x, err
}

// SetSessionSize implements store.Sessions.
func (m *Metadata) SetSessionSize(ctx context.Context, c store.SessionChange, size int64) error {
	if err := valid.Size(size); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		x, err := d.session(c.Session)
		if err != nil || x.Size == size {
			return err
		}
		if x, err = x.Resize(size); err == nil {
			x.ChangedBy = c.Caller
			d.sessions[x.ID] = x
		}
		return err
	})
}

// session finds one that has not expired.
func (d *data) session(id store.FileID) (store.Session, error) {
	x, ok := d.sessions[id]
	if !ok || d.expired(x) {
		return store.Session{}, store.Errorf(store.NotFound, "session %s does not exist, or has expired", id)
	}
	return x, nil
}

func (d *data) expired(x store.Session) bool { return !x.ExpiresAt.After(d.now()) }

// ListSessions implements store.Sessions.
func (m *Metadata) ListSessions(ctx context.Context, q store.SessionQuery) (page store.SessionPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = m.do(ctx, func(d *data) error {
		if q.Bucket != "" {
			if _, err := d.bucket(q.Bucket); err != nil {
				return err
			}
		}
		var all []store.Session
		for _, x := range d.sessions {
			if (q.Bucket == "" || x.Bucket == q.Bucket) && strings.HasPrefix(string(x.Key), q.Prefix) &&
				bytes.Compare(x.ID[:], q.After[:]) > 0 && d.expired(x) == q.Expired {
				x.Parts = nil
				all = append(all, cloneSession(x))
			}
		}
		slices.SortFunc(all, func(a, b store.Session) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		page = store.SessionPage{Sessions: all[:min(q.Limit, len(all))], More: len(all) > q.Limit}
		return nil
	})
	return page, err
}

// ListSessionsByKey implements store.Sessions.
func (m *Metadata) ListSessionsByKey(ctx context.Context, q store.SessionKeyQuery) (page store.SessionPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = m.do(ctx, func(d *data) error {
		if _, err := d.bucket(q.Bucket); err != nil {
			return err
		}
		order := func(a, b store.Session) int {
			return cmp.Or(strings.Compare(string(a.Key), string(b.Key)), bytes.Compare(a.ID[:], b.ID[:]))
		}
		after := store.Session{ID: q.After.ID, Key: store.Key(q.After.Key)}
		var all []store.Session
		for _, x := range d.sessions {
			follows := order(x, after) > 0 && (!q.After.ID.IsZero() || string(x.Key) != q.After.Key)
			if x.Bucket == q.Bucket && strings.HasPrefix(string(x.Key), q.Prefix) && follows && !d.expired(x) {
				x.Parts = nil
				all = append(all, cloneSession(x))
			}
		}
		slices.SortFunc(all, order)
		page = store.SessionPage{Sessions: all[:min(q.Limit, len(all))], More: len(all) > q.Limit}
		return nil
	})
	return page, err
}

// BeginPart implements store.Sessions.
func (m *Metadata) BeginPart(ctx context.Context, id store.FileID, p store.Part) error {
	if err := valid.Checksums(p); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		if _, err := d.session(id); err != nil {
			return err
		}
		if err := d.notDropped(p.ID); err != nil {
			return err
		}
		if _, ok := d.begun[p.ID]; ok || d.loose[p.ID] || d.taken(p.ID) {
			return store.Errorf(store.Exists, "part %s exists already", p.ID)
		}
		d.begun[p.ID] = begunPart{clonePart(p), id}
		return nil
	})
}

// taken reports whether the part is one of a file's or of a session's, expired or not.
func (d *data) taken(id store.PartID) bool {
	_, ofFile := d.parts[id]
	ofFile = ofFile && !d.loose[id]
	_, ofSession := d.arrived[id]
	return ofFile || ofSession || d.log.has(id)
}

// SavePart implements store.Sessions.
func (m *Metadata) SavePart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	return m.takePart(ctx, c, p, ttl, true)
}

// AddPart implements store.Sessions.
func (m *Metadata) AddPart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	return m.takePart(ctx, c, p, ttl, false)
}

func (m *Metadata) takePart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration, replace bool) error {
	if err := valid.TTL(ttl); err != nil {
		return err
	}
	if err := valid.Checksums(p); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		x, err := d.session(c.Session)
		switch {
		case err != nil:
			return err
		case d.arrived[p.ID] == x.ID:
			return nil
		case d.taken(p.ID):
			return store.Errorf(store.Exists, "part %s exists already", p.ID)
		case !replace && slices.ContainsFunc(x.Parts, func(old store.SessionPart) bool { return old.Number == p.Number }):
			return store.Errorf(store.Conflict, "session %s has a part %d already", x.ID, p.Number)
		}
		if err := d.notDropped(p.ID); err != nil {
			return err
		}
		d.reclaimPlanned([]store.Part{d.begun[p.ID].Part, d.takeLoose(p.ID)}, []store.Part{p})
		delete(d.begun, p.ID)
		x.ChangedBy = c.Caller
		d.savePart(x, p, ttl)
		return nil
	})
}

// savePart replaces the part of the same number.
func (d *data) savePart(x store.Session, p store.Part, ttl time.Duration) {
	now := d.now()
	i, found := slices.BinarySearchFunc(x.Parts, p.Number, func(p store.SessionPart, n int) int { return cmp.Compare(p.Number, n) })
	if found {
		old := x.Parts[i]
		d.reclaimPart(old.Part, "it was sent again")
		delete(d.arrived, old.ID)
		x.Received -= old.Size
		x.Parts = slices.Delete(x.Parts, i, i+1)
	}
	x.Parts = slices.Insert(x.Parts, i, store.SessionPart{Part: clonePart(p), StoredAt: now})
	x.Received += p.Size
	x.ExpiresAt = now.Add(ttl).Truncate(time.Microsecond)
	d.arrived[p.ID] = x.ID
	d.sessions[x.ID] = x
	d.repairMissing(p)
}

// DropPart implements store.Sessions.
func (m *Metadata) DropPart(ctx context.Context, p store.Part) error {
	return m.do(ctx, func(d *data) error {
		if d.taken(p.ID) {
			return store.Errorf(store.Conflict, "part %s belongs to a session or a file", p.ID)
		}
		d.reclaimPart(d.begun[p.ID].Part, "its upload failed")
		d.reclaimPart(d.takeLoose(p.ID), "its upload failed")
		d.reclaimPart(p, "its upload failed")
		delete(d.begun, p.ID)
		d.dropped[p.ID] = d.now()
		return nil
	})
}

// CompleteSession implements store.Sessions.
func (m *Metadata) CompleteSession(ctx context.Context, c store.Completion) (stored store.File, previous store.FileID, err error) {
	if err := store.ValidAttributes(c.File.Attributes); err != nil {
		return stored, previous, err
	}
	err = m.do(ctx, func(d *data) error {
		f := c.File
		if _, err := d.bucket(f.Bucket); err != nil {
			return err
		}
		have, err := d.partsOf(c.Sessions)
		if err != nil {
			return err
		}
		if _, ok := d.files[f.ID]; ok {
			return store.Errorf(store.Exists, "file %s exists already", f.ID)
		}
		if f.Parts, err = take(have, f.Parts); err != nil {
			return err
		}
		if err := d.mayChange(c.Change, f.Bucket, f.Key); err != nil {
			return err
		}
		if err := d.attempt(c.Attempt); err != nil {
			return err
		}
		left := slices.Collect(maps.Values(have))
		for _, id := range c.Sessions {
			left = append(left, d.endSession(id)...)
		}
		stored, previous = d.show(f, c.Change)
		if len(left) > 0 {
			d.leave(store.File{ID: store.NewFileID(), Bucket: f.Bucket, Key: f.Key, Parts: left})
		}
		stored.Parts = cloneFile(d.files[f.ID]).Parts
		return nil
	})
	return stored, previous, err
}

// partsOf returns all received parts of the sessions.
func (d *data) partsOf(sessions []store.FileID) (map[store.PartID]store.Part, error) {
	have := map[store.PartID]store.Part{}
	for _, id := range sessions {
		x, err := d.session(id)
		if err != nil {
			return nil, err
		}
		for _, p := range x.Parts {
			have[p.ID] = p.Part
		}
	}
	return have, nil
}

// take moves the wanted parts out of the existing ones, and renumbers them.
func take(have map[store.PartID]store.Part, want []store.Part) ([]store.Part, error) {
	parts := make([]store.Part, len(want))
	for i, w := range want {
		p, ok := have[w.ID]
		if !ok {
			return nil, store.Errorf(store.Conflict, "part %d was replaced in the meantime", w.Number)
		}
		delete(have, w.ID)
		p.Number = w.Number
		parts[i] = p
	}
	return parts, nil
}

// endSession removes the session, and returns the parts that were begun.
func (d *data) endSession(id store.FileID) (begun []store.Part) {
	for _, p := range d.sessions[id].Parts {
		delete(d.arrived, p.ID)
	}
	delete(d.sessions, id)
	maps.DeleteFunc(d.begun, func(_ store.PartID, p begunPart) bool {
		if p.session == id {
			begun = append(begun, p.Part)
			d.loose[p.ID] = true
		}
		return p.session == id
	})
	return begun
}

// takeLoose removes a begun part of an ended session from the Deleted file that keeps it; the zero part if no such part exists.
func (d *data) takeLoose(id store.PartID) (p store.Part) {
	if !d.loose[id] {
		return p
	}
	f := d.files[d.parts[id]]
	if i := slices.IndexFunc(f.Parts, func(p store.Part) bool { return p.ID == id }); i >= 0 {
		p = f.Parts[i]
		f.Parts = slices.Delete(slices.Clone(f.Parts), i, i+1)
		d.files[f.ID] = f
	}
	delete(d.parts, id)
	delete(d.loose, id)
	return p
}

// leave keeps parts that no read can use as those of a Deleted file, to be swept without a grace.
func (d *data) leave(f store.File) {
	f.State = store.Deleted
	d.saveFile(f)
	d.deleted[f.ID] = time.Time{}
}

// AbortSession implements store.Sessions.
func (m *Metadata) AbortSession(ctx context.Context, c store.SessionChange) error {
	return m.do(ctx, func(d *data) error {
		x, ok := d.sessions[c.Session]
		if !ok {
			return store.Errorf(store.NotFound, "session %s does not exist", c.Session)
		}
		f := store.File{ID: x.ID, Bucket: x.Bucket, Key: x.Key, ChangedBy: c.Caller}
		for _, p := range x.Parts {
			f.Parts = append(f.Parts, p.Part)
		}
		f.Parts = append(f.Parts, d.endSession(x.ID)...)
		d.leave(f)
		return nil
	})
}

// RenameFile implements store.Files.
func (m *Metadata) RenameFile(ctx context.Context, r store.Rename) (stored store.File, previous store.FileID, err error) {
	err = m.do(ctx, func(d *data) error {
		f, ok := d.files[r.File]
		if !ok || f.State == store.Deleted {
			return store.Errorf(store.NotFound, "file %s does not exist", r.File)
		}
		if _, err := d.bucket(r.Bucket); err != nil {
			return err
		}
		if !f.Latest || f.DeleteMarker {
			return store.Errorf(store.Conflict, "file %s is not the latest of its key", r.File)
		}
		moves := f.Bucket != r.Bucket || f.Key != r.Key
		err := d.check(r.If, r.Bucket, r.Key)
		if moves && err == nil {
			err = cmp.Or(d.unlocked(f), d.mayChange(r.Change, r.Bucket, r.Key))
		}
		if err == nil {
			err = d.attempt(r.Attempt)
		}
		if err != nil {
			return err
		}
		if moves {
			previous = d.replace(r.Bucket, r.Key, r.Change)
			was := f
			f.Bucket, f.Key, f.Latest, f.Seq, f.ChangedBy = r.Bucket, r.Key, true, d.nextSeq(), r.Caller
			d.files[r.File] = f
			d.record(store.FileGone, was, d.promote(was.Bucket, was.Key), -1, r.Caller)
			d.record(store.FileRenamed, f, f.ID, 1, r.Caller)
		}
		stored = withoutParts(f)
		return nil
	})
	return stored, previous, err
}

func cloneSession(x store.Session) store.Session {
	x.Meta, x.Attributes, x.Parts = maps.Clone(x.Meta), x.Attributes.Clone(), slices.Clone(x.Parts)
	if x.CRC64 != nil {
		x.CRC64 = new(*x.CRC64)
	}
	for i := range x.Parts {
		x.Parts[i].Part = clonePart(x.Parts[i].Part)
	}
	return x
}
