package mem

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// Metadata is a store.Metadata in memory: one lock, maps, and listings that
// scan everything. It is the simplest implementation of the contract, for tests.
type Metadata struct {
	data   *data
	closed atomic.Bool
}

var _ store.Metadata = (*Metadata)(nil)

// data is shared by all stores that are opened on it.
type data struct {
	mu          sync.Mutex // guards the following fields
	last        time.Time  // the latest time returned by now
	cluster     store.ClusterID
	epoch       store.Epoch
	buckets     map[store.BucketName]store.Bucket
	documents   map[store.BucketName][]attr.Document // by kind
	files       map[store.FileID]store.File
	parts       map[store.PartID]store.FileID
	sessions    map[store.FileID]store.Session
	arrived     map[store.PartID]store.FileID // parts of sessions
	begun       map[store.PartID]begunPart
	loose       map[store.PartID]bool      // begun parts of ended sessions
	deleted     map[store.FileID]time.Time // since when a Deleted file is
	dropped     map[store.PartID]time.Time // fences of parts
	attempts    map[store.AttemptID]attempt
	nodes       map[store.NodeID]store.Node
	tasks       map[taskID]*task
	leases      map[string]*lease
	credentials map[string]store.Credential
	log         metadataLog
	jobs        map[store.JobID]store.Job
	events      []store.Event // those that are kept
	head        store.EventSeq
	report      report
	wakeups     map[string]uint64
	gateways    map[string]gateway
	changes     changeLog
}

// NewMetadata returns an empty store with the default bucket.
func NewMetadata() *Metadata {
	d := &data{
		cluster: store.NewClusterID(), buckets: map[store.BucketName]store.Bucket{}, documents: map[store.BucketName][]attr.Document{}, files: map[store.FileID]store.File{},
		parts: map[store.PartID]store.FileID{}, sessions: map[store.FileID]store.Session{}, arrived: map[store.PartID]store.FileID{}, begun: map[store.PartID]begunPart{}, loose: map[store.PartID]bool{},
		deleted: map[store.FileID]time.Time{}, dropped: map[store.PartID]time.Time{}, attempts: map[store.AttemptID]attempt{}, nodes: map[store.NodeID]store.Node{}, tasks: map[taskID]*task{},
		leases: map[string]*lease{}, credentials: map[string]store.Credential{},
		jobs: map[store.JobID]store.Job{}, wakeups: map[string]uint64{}, gateways: map[string]gateway{},
	}
	d.buckets[store.DefaultBucket] = store.Bucket{Name: store.DefaultBucket, CreatedAt: d.now(), Survive: store.SurviveDefault}
	return &Metadata{data: d}
}

// Reopen opens one more store on the same data, as a second gateway or a restart would.
func (m *Metadata) Reopen() *Metadata { return &Metadata{data: m.data} }

// Close implements store.Metadata.
func (m *Metadata) Close() error {
	m.closed.Store(true)
	return nil
}

// Ping implements store.Metadata.
func (m *Metadata) Ping(ctx context.Context) error {
	return m.do(ctx, func(*data) error { return nil })
}

// do runs one call under the lock.
func (m *Metadata) do(ctx context.Context, f func(d *data) error) error {
	if err := ctx.Err(); err != nil {
		return &store.Error{Kind: store.Canceled, Err: err}
	}
	if m.closed.Load() {
		return store.Errorf(store.Unavailable, "the metadata store is closed")
	}
	m.data.mu.Lock()
	defer m.data.mu.Unlock()
	return f(m.data)
}

// now is the store's clock: microseconds, UTC, and later than any time that it returned before.
func (d *data) now() time.Time {
	t := time.Now().UTC().Truncate(time.Microsecond)
	if !t.After(d.last) {
		t = d.last.Add(time.Microsecond)
	}
	d.last = t
	return t
}

func (d *data) bucket(name store.BucketName) (store.Bucket, error) {
	b, ok := d.buckets[name]
	if !ok {
		return b, store.ErrNoBucket(name)
	}
	return b, nil
}

// CreateBucket implements store.Buckets.
func (m *Metadata) CreateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := b.Validate(); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		if _, ok := d.buckets[b.Name]; ok {
			return store.Errorf(store.Exists, "bucket %q exists already", b.Name)
		}
		b.CreatedAt = d.now()
		d.buckets[b.Name] = b
		d.recordBucket(store.EventBucketMade, b.Name, caller)
		return nil
	})
}

// Bucket implements store.Buckets.
func (m *Metadata) Bucket(ctx context.Context, name store.BucketName) (b store.Bucket, err error) {
	err = m.do(ctx, func(d *data) (err error) { b, err = d.bucket(name); return err })
	return b, err
}

// ListBuckets implements store.Buckets.
func (m *Metadata) ListBuckets(ctx context.Context) (all []store.Bucket, err error) {
	err = m.do(ctx, func(d *data) error {
		all = slices.SortedFunc(maps.Values(d.buckets), func(a, b store.Bucket) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	return all, err
}

// UpdateBucket implements store.Buckets.
func (m *Metadata) UpdateBucket(ctx context.Context, b store.Bucket, caller string) error {
	if err := b.Validate(); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		was, err := d.bucket(b.Name)
		if err != nil {
			return err
		}
		b.CreatedAt = was.CreatedAt
		d.buckets[b.Name] = b
		d.recordBucket(store.EventBucketSet, b.Name, caller)
		return nil
	})
}

// DeleteBucket implements store.Buckets.
func (m *Metadata) DeleteBucket(ctx context.Context, name store.BucketName, caller string) error {
	return m.do(ctx, func(d *data) error {
		if _, err := d.bucket(name); err != nil {
			return err
		}
		var failed []store.FileID
		for id, f := range d.files {
			if f.Bucket != name {
				continue
			}
			if f.State == store.Deleted {
				continue
			}
			if f.State != store.Failed {
				return store.Errorf(store.Conflict, "bucket %q is not empty", name).WithHint("Delete its files first.")
			}
			failed = append(failed, id)
		}
		for _, x := range d.sessions {
			if x.Bucket == name {
				return store.Errorf(store.Conflict, "bucket %q has an unfinished upload", name).WithHint("Complete or abort its sessions first.")
			}
		}
		for _, id := range failed {
			d.remove(id)
		}
		delete(d.buckets, name)
		delete(d.documents, name)
		d.recordBucket(store.EventBucketGone, name, caller)
		return nil
	})
}

// BeginFile implements store.Files.
func (m *Metadata) BeginFile(ctx context.Context, f store.File) error {
	if err := valid.File(f); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		if _, err := d.bucket(f.Bucket); err != nil {
			return err
		}
		if _, ok := d.files[f.ID]; ok {
			return store.Errorf(store.Exists, "file %s exists already", f.ID)
		}
		if err := d.partsAreNew(f); err != nil {
			return err
		}
		f.State, f.Latest, f.CompletedAt, f.Seq = store.Uploading, false, time.Time{}, 0
		f.CreatedAt = cmp.Or(f.CreatedAt, d.now())
		d.saveFile(f)
		return nil
	})
}

// partsAreNew refuses part ids that another file has.
func (d *data) partsAreNew(f store.File) error {
	for _, p := range f.Parts {
		if of, ok := d.parts[p.ID]; ok && of != f.ID {
			return store.Errorf(store.Exists, "part %s exists already", p.ID)
		}
	}
	return nil
}

func (d *data) saveFile(f store.File) {
	f = cloneFile(f)
	slices.SortFunc(f.Parts, func(a, b store.Part) int { return cmp.Compare(a.Number, b.Number) })
	d.files[f.ID] = f
	for _, p := range f.Parts {
		d.parts[p.ID] = f.ID
	}
}

// remove makes the file Deleted. Its parts stay until they are swept.
func (d *data) remove(id store.FileID) {
	f := d.files[id]
	f.State, f.Latest = store.Deleted, false
	d.files[id], d.deleted[id] = f, d.now()
}

func (d *data) reclaimPart(p store.Part, reason string) {
	for i, c := range p.Chunks {
		if !c.Node.IsZero() {
			d.enqueue(store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(i), Node: c.Node, Reason: reason})
		}
	}
}

// CommitFile implements store.Files.
func (m *Metadata) CommitFile(ctx context.Context, c store.Commit) (stored store.File, previous store.FileID, err error) {
	if err := valid.File(c.File); err != nil {
		return stored, previous, err
	}
	err = m.do(ctx, func(d *data) error {
		f := c.File
		if err := d.mayCommit(f, c.Begun); err != nil {
			return err
		}
		if err := d.mayChange(c.Change, f.Bucket, f.Key); err != nil {
			return err
		}
		if c.Begun {
			f.CreatedAt = cmp.Or(f.CreatedAt, d.files[f.ID].CreatedAt)
			d.forgetPlanned(d.files[f.ID])
			d.reclaimPlanned(d.files[f.ID].Parts, f.Parts)
		}
		stored, previous = d.show(f, c.Change)
		for _, p := range f.Parts {
			d.repairMissing(p)
		}
		return nil
	})
	return stored, previous, err
}

// show makes the file complete and latest.
func (d *data) show(f store.File, c store.Change) (stored store.File, previous store.FileID) {
	previous = d.replace(f.Bucket, f.Key, c)
	f.State, f.Latest, f.CompletedAt, f.Seq, f.ChangedBy = store.Complete, true, d.now(), d.nextSeq(), c.Caller
	f.CreatedAt = cmp.Or(f.CreatedAt, f.CompletedAt)
	d.saveFile(f)
	d.record(store.FilePut, f, f.ID, 1, c.Caller)
	return withoutParts(f), previous
}

// check decides the condition for the key.
func (d *data) check(c store.Condition, b store.BucketName, k store.Key) error {
	if f, ok := d.latest(b, k); ok {
		return c.Check(&f)
	}
	return c.Check(nil)
}

// mayChange decides the condition of a change that makes another file latest, and whether the one that is may be replaced.
func (d *data) mayChange(c store.Change, b store.BucketName, k store.Key) error {
	if err := d.check(c.If, b, k); err != nil {
		return err
	}
	if f, ok := d.latest(b, k); ok && c.Before != store.KeepBefore {
		return d.unlocked(f)
	}
	return nil
}

// unlocked is Denied while the file is locked.
func (d *data) unlocked(f store.File) error {
	if f.State == store.Complete && f.Attributes.Lock.Ends().After(d.now()) {
		return store.ErrLocked()
	}
	return nil
}

// SetAttributes implements store.Attributes.
func (m *Metadata) SetAttributes(ctx context.Context, c store.AttributeChange) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return m.do(ctx, func(d *data) error {
		f, ok := d.files[c.File]
		switch {
		case !ok || f.State != store.Complete:
			return store.Errorf(store.NotFound, "file %s does not exist", c.File)
		case !f.Attributes.Equal(c.From):
			return c.ErrOther()
		case c.From.Lock.Binds(c.To.Lock).After(d.now()):
			return c.ErrBound()
		}
		f.Attributes = c.To.Clone()
		d.files[f.ID] = f
		d.appendChange(store.ObjectChange{Kind: store.FileChanged, Bucket: f.Bucket, Key: f.Key, File: f.ID, Caller: c.Caller})
		return nil
	})
}

// latest is the latest file of the key, a delete marker included.
func (d *data) latest(b store.BucketName, k store.Key) (store.File, bool) {
	for _, f := range d.files {
		if f.Bucket == b && f.Key == k && f.Latest {
			return f, true
		}
	}
	return store.File{}, false
}

func (d *data) repairMissing(p store.Part) {
	d.repair(p, p.Missing(), "not written")
}

// replace ends the latest file of the key being latest, as the change says.
func (d *data) replace(b store.BucketName, k store.Key, c store.Change) (previous store.FileID) {
	f, ok := d.latest(b, k)
	if !ok {
		return previous
	}
	if c.Before == store.KeepBefore {
		f.Latest = false
		d.files[f.ID] = f
		return f.ID
	}
	f.ChangedBy = c.Caller
	d.files[f.ID] = f
	d.remove(f.ID)
	d.record(store.FileReplaced, f, store.FileID{}, -1, c.Caller)
	return f.ID
}

func (d *data) mayCommit(f store.File, begun bool) error {
	if _, err := d.bucket(f.Bucket); err != nil {
		return err
	}
	was, ok := d.files[f.ID]
	switch {
	case !begun && ok && (was.State == store.Failed || was.State == store.Deleted):
		return store.Errorf(store.Conflict, "the write of file %s was abandoned", f.ID)
	case !begun && ok:
		return store.Errorf(store.Exists, "file %s exists already", f.ID)
	case !begun:
		return d.partsAreNew(f)
	case !ok || was.State == store.Deleted:
		return store.Errorf(store.NotFound, "file %s was deleted while it was uploaded", f.ID)
	case was.State != store.Uploading || was.Bucket != f.Bucket || was.Key != f.Key:
		return store.Errorf(store.Conflict, "file %s is not being uploaded any more", f.ID)
	}
	return d.partsAreNew(f)
}

func (d *data) forgetPlanned(begun store.File) {
	for _, p := range begun.Parts {
		delete(d.parts, p.ID)
	}
}

// reclaimPlanned queues the chunks that are not where they were planned.
func (d *data) reclaimPlanned(planned, parts []store.Part) {
	has := map[taskID]bool{}
	for _, p := range parts {
		for i, c := range p.Chunks {
			has[taskID{chunk: p.ChunkID(i), node: c.Node}] = true
		}
	}
	for _, p := range planned {
		for i, c := range p.Chunks {
			if !c.Node.IsZero() && !has[taskID{chunk: p.ChunkID(i), node: c.Node}] {
				d.enqueue(store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(i), Node: c.Node, Reason: "planned there, stored elsewhere"})
			}
		}
	}
}

// FailFile implements store.Files.
func (m *Metadata) FailFile(ctx context.Context, f store.File, reason string, attempted []store.Part) error {
	return m.do(ctx, func(d *data) error {
		was, ok := d.files[f.ID]
		switch {
		case ok && was.State == store.Complete:
			return store.Errorf(store.Conflict, "file %s is complete", f.ID)
		case !ok:
			was = store.File{ID: f.ID, Bucket: f.Bucket, Key: f.Key, Size: f.Size, CreatedAt: cmp.Or(f.CreatedAt, d.now())}
		}
		for _, p := range attempted {
			d.reclaimPart(p, "its upload failed")
		}
		if was.State == store.Failed || was.State == store.Deleted {
			return nil
		}
		for _, p := range was.Parts {
			d.reclaimPart(p, "its upload failed")
			delete(d.parts, p.ID)
		}
		was.State, was.Failure, was.Parts = store.Failed, reason, nil
		d.files[f.ID] = was
		if _, err := d.bucket(f.Bucket); err != nil {
			d.remove(f.ID) // a fence needs no bucket
		}
		return nil
	})
}

// File implements store.Files.
func (m *Metadata) File(ctx context.Context, id store.FileID) (f store.File, err error) {
	err = m.do(ctx, func(d *data) error {
		var ok bool
		if f, ok = d.files[id]; !ok {
			return store.Errorf(store.NotFound, "file %s does not exist", id)
		}
		f = firstPage(f)
		return nil
	})
	return f, err
}

// LatestFile implements store.Files.
func (m *Metadata) LatestFile(ctx context.Context, bucket store.BucketName, key store.Key) (f store.File, err error) {
	err = m.do(ctx, func(d *data) error {
		if _, err := d.bucket(bucket); err != nil {
			return err
		}
		latest, ok := d.latest(bucket, key)
		if !ok || latest.DeleteMarker {
			return noObject(bucket, key)
		}
		f = firstPage(latest)
		return nil
	})
	return f, err
}

// firstPage is the file as File returns it.
func firstPage(f store.File) store.File {
	if !f.CompletedAt.IsZero() {
		f.Marks = store.MarksOf(f.Parts)
	}
	f.Parts = f.Parts[:min(len(f.Parts), store.PartsPage)]
	return cloneFile(f)
}

// Parts implements store.FileReader.
func (m *Metadata) Parts(ctx context.Context, id store.FileID, number int) (parts []store.Part, err error) {
	err = m.do(ctx, func(d *data) error {
		for _, p := range d.files[id].Parts {
			if p.Number >= number && len(parts) < store.PartsPage {
				parts = append(parts, clonePart(p))
			}
		}
		return nil
	})
	return parts, err
}

func noObject(bucket store.BucketName, key store.Key) error {
	return store.Errorf(store.NotFound, "bucket %q has no object %q", bucket, key)
}

// DeleteFile implements store.Files.
func (m *Metadata) DeleteFile(ctx context.Context, x store.Deletion) error {
	return m.do(ctx, func(d *data) error {
		f, err := d.target(x)
		if err != nil {
			return err
		}
		if err := d.unlocked(f); err != nil {
			return err
		}
		if err := d.attempt(x.Attempt); err != nil {
			return err
		}
		f.ChangedBy = x.Caller
		d.files[f.ID] = f
		d.remove(f.ID)
		var heir store.FileID
		if f.Latest && !x.File.IsZero() {
			heir = d.promote(f.Bucket, f.Key)
		}
		if f.State == store.Complete {
			d.record(store.FileGone, f, heir, -1, x.Caller)
		}
		return nil
	})
}

// target is the file to delete, once the condition holds.
func (d *data) target(x store.Deletion) (f store.File, err error) {
	var ok bool
	if x.File.IsZero() {
		if _, err := d.bucket(x.Bucket); err != nil {
			return f, err
		}
		if err := d.check(x.If, x.Bucket, x.Key); err != nil {
			return f, err
		}
		if f, ok = d.latest(x.Bucket, x.Key); !ok || f.DeleteMarker {
			return f, noObject(x.Bucket, x.Key)
		}
		return f, nil
	}
	if f, ok = d.files[x.File]; !ok || f.State == store.Deleted {
		return f, store.Errorf(store.NotFound, "file %s does not exist", x.File)
	}
	return f, d.check(x.If, f.Bucket, f.Key)
}

// promote makes the newest complete file of the key latest, and returns it.
func (d *data) promote(b store.BucketName, k store.Key) store.FileID {
	var best store.File
	for _, f := range d.files {
		if f.Bucket == b && f.Key == k && f.State == store.Complete && (best.ID.IsZero() || f.Seq > best.Seq) {
			best = f
		}
	}
	if !best.ID.IsZero() {
		best.Latest = true
		d.files[best.ID] = best
	}
	return best.ID
}

// ListObjects implements store.Files.
func (m *Metadata) ListObjects(ctx context.Context, q store.ObjectQuery) (page store.ObjectPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = m.do(ctx, func(d *data) error {
		if _, err := d.bucket(q.Bucket); err != nil {
			return err
		}
		page = pageOf(d.entries(q), q.Limit)
		return nil
	})
	return page, err
}

// entries lists everything that the query selects, in order, without its limit.
func (d *data) entries(q store.ObjectQuery) (all []store.Entry) {
	afterGroup, isGroup := groupOf(q, q.After)
	passed := func(name string) bool {
		return name <= q.After || isGroup && afterGroup == q.After && strings.HasPrefix(name, q.After)
	}
	prefixes := map[string]bool{}
	for _, f := range d.files {
		name := string(f.Key)
		if f.Bucket != q.Bucket || !f.Latest || f.DeleteMarker || !strings.HasPrefix(name, q.Prefix) || passed(name) {
			continue
		}
		if group, ok := groupOf(q, name); ok {
			prefixes[group] = true
			continue
		}
		f = withoutParts(f)
		all = append(all, store.Entry{Name: name, File: &f})
	}
	for p := range prefixes {
		all = append(all, store.Entry{Name: p})
	}
	slices.SortFunc(all, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// groupOf is the common prefix that the query lists instead of the name.
func groupOf(q store.ObjectQuery, name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, q.Prefix)
	i := strings.Index(rest, q.Delimiter)
	if !ok || q.Delimiter == "" || i < 0 {
		return "", false
	}
	return q.Prefix + rest[:i+len(q.Delimiter)], true
}

func pageOf(all []store.Entry, limit int) store.ObjectPage {
	page := store.ObjectPage{Entries: all[:min(limit, len(all))], More: len(all) > limit}
	if page.More {
		page.Next = page.Entries[limit-1].Name
	}
	return page
}

// ListFiles implements store.Files.
func (m *Metadata) ListFiles(ctx context.Context, q store.FileQuery) (page store.FilePage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = m.do(ctx, func(d *data) error {
		if q.Bucket != "" {
			if _, err := d.bucket(q.Bucket); err != nil {
				return err
			}
		}
		if (q.Key != "" || q.Prefix != "") && d.candidates(q) > store.MaxSorted {
			return q.TooMany()
		}
		all := d.matching(q)
		if q.After != (store.FileCursor{}) {
			all = slices.DeleteFunc(all, func(f store.File) bool { return compareInTime(f.Cursor(), q.After, q.Descending) <= 0 })
		}
		page = store.NewFilePage(all[min(q.Offset, len(all)):], q.Limit)
		return nil
	})
	return page, err
}

// candidates counts the files of any state that the query selects by their keys.
func (d *data) candidates(q store.FileQuery) (n int) {
	for _, f := range d.files {
		if (q.Bucket == "" || q.Bucket == f.Bucket) && (q.Key == "" || q.Key == f.Key) && strings.HasPrefix(string(f.Key), q.Prefix) {
			n++
		}
	}
	return n
}

func compareInTime(a, b store.FileCursor, descending bool) int {
	c := cmp.Or(a.CreatedAt.Compare(b.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
	if descending {
		return -c
	}
	return c
}

func (d *data) matching(q store.FileQuery) (all []store.File) {
	if q.State == 0 {
		q.State = store.Complete
	}
	for _, f := range d.files {
		if f.State == q.State && !f.DeleteMarker && (q.Bucket == "" || q.Bucket == f.Bucket) &&
			(q.Key == "" || q.Key == f.Key) && strings.HasPrefix(string(f.Key), q.Prefix) {
			all = append(all, withoutParts(f))
		}
	}
	slices.SortFunc(all, func(a, b store.File) int { return compareInTime(a.Cursor(), b.Cursor(), q.Descending) })
	return all
}

func withoutParts(f store.File) store.File {
	f.Parts = nil
	return cloneFile(f)
}

// cloneFile copies all that the value refers to.
func cloneFile(f store.File) store.File {
	f.SHA256, f.Meta, f.Parts = bytes.Clone(f.SHA256), maps.Clone(f.Meta), slices.Clone(f.Parts)
	f.Attributes = f.Attributes.Clone()
	for i := range f.Parts {
		f.Parts[i] = clonePart(f.Parts[i])
	}
	return f
}

func clonePart(p store.Part) store.Part {
	p.Chunks, p.Checksums = slices.Clone(p.Chunks), p.Checksums.Clone()
	return p
}
