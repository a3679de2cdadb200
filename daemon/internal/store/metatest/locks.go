package metatest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// setAttributes replaces the attributes of the file, and demands that it happens.
func setAttributes(t *testing.T, m store.Metadata, id store.FileID, from, to attr.Set) {
	t.Helper()
	require.NoError(t, m.SetAttributes(t.Context(), store.AttributeChange{File: id, From: from, To: to, Caller: "changer"}))
}

// locked stores a file that is latest under its key, with this lock.
func locked(t *testing.T, m store.Metadata, key store.Key, l attr.Lock) store.File {
	t.Helper()
	f := newFile(key, newPart(1, newNodes(2)...))
	f.Attributes.Lock = l
	return put(t, m, f)
}

// locks are locks that have not ended.
func locks() map[string]attr.Lock {
	late := now().Add(24 * time.Hour)
	return map[string]attr.Lock{
		"governance": {Mode: attr.Governance, Until: late},
		"compliance": {Mode: attr.Compliance, Until: late},
		"hold":       {Hold: true},
		"both":       {Mode: attr.Governance, Until: time.UnixMicro(1).UTC(), Hold: true},
	}
}

var lockTests = []test{
	{"attributes are replaced where they are what the caller knows", func(t *testing.T, m store.Metadata) {
		f := put(t, m, newFile("a", newPart(1, newNodes(2)...)))
		setAttributes(t, m, f.ID, attr.Set{}, everyAttribute())
		requireAttributes(t, m, f, everyAttribute())
		tags := attr.Set{Tags: map[string]string{"colour": "blue"}}
		change := store.AttributeChange{File: f.ID, From: attr.Set{}, To: tags}
		requireKind(t, store.Conflict, m.SetAttributes(t.Context(), change))
		requireAttributes(t, m, f, everyAttribute())
		setAttributes(t, m, f.ID, everyAttribute(), tags)
		setAttributes(t, m, f.ID, tags, tags)
		requireAttributes(t, m, f, tags)
		setAttributes(t, m, f.ID, tags, attr.Set{})
		requireAttributes(t, m, f, attr.Set{})
		change.To.Tags = map[string]string{"": "x"}
		requireKind(t, store.Invalid, m.SetAttributes(t.Context(), change))
	}},
	{"attributes of a version are replaced, and those of an upload or a deleted file are not", func(t *testing.T, m store.Metadata) {
		f := put(t, m, newFile("a"))
		_, _, err := m.CommitFile(t.Context(), store.Commit{Change: store.Change{Before: store.KeepBefore}, File: newFile("a")})
		require.NoError(t, err)
		setAttributes(t, m, f.ID, attr.Set{}, everyAttribute())
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, everyAttribute(), got.Attributes)
		up := newFile("b")
		begin(t, m, up)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		for _, id := range []store.FileID{up.ID, f.ID, store.NewFileID()} {
			requireKind(t, store.NotFound, m.SetAttributes(t.Context(), store.AttributeChange{File: id, From: everyAttribute(), To: attr.Set{}}))
		}
	}},
	{"a change of attributes is recorded, and nothing is counted", func(t *testing.T, m store.Metadata) {
		f := put(t, m, newFile("a", newPart(1, newNodes(2)...)))
		head, err := m.ChangeHead(t.Context())
		require.NoError(t, err)
		before, err := m.Usage(t.Context(), f.Bucket)
		require.NoError(t, err)
		setAttributes(t, m, f.ID, attr.Set{}, everyAttribute())
		requireKind(t, store.Conflict, m.SetAttributes(t.Context(), store.AttributeChange{File: f.ID}))
		page, err := m.ChangesAfter(t.Context(), head, 10)
		require.NoError(t, err)
		require.Len(t, page.Changes, 1)
		got := page.Changes[0]
		require.Equal(t, store.ObjectChange{
			Revision: head + 1, Kind: store.FileChanged, Bucket: f.Bucket, Key: f.Key, File: f.ID, Caller: "changer", At: got.At,
		}, got)
		after, err := m.Usage(t.Context(), f.Bucket)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}},
	{"a locked file is not deleted, replaced or renamed, until its lock is removed", func(t *testing.T, m store.Metadata) {
		for name, l := range locks() {
			f, other := locked(t, m, store.Key(name), l), put(t, m, newFile(store.Key(name+"-other"), newPart(1, newNodes(2)...)))
			steps := map[string]func() error{
				"delete the file": func() error {
					return m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()})
				},
				"delete the object": func() error {
					return m.DeleteFile(t.Context(), store.Deletion{Bucket: f.Bucket, Key: f.Key, Attempt: store.NewAttemptID()})
				},
				"replace it": func() error { _, _, err := m.CommitFile(t.Context(), store.Commit{File: newFile(f.Key)}); return err },
				"rename it": func() error {
					_, _, err := m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: f.Key + "-new", Attempt: store.NewAttemptID()})
					return err
				},
				"rename another over it": func() error {
					_, _, err := m.RenameFile(t.Context(), store.Rename{File: other.ID, Bucket: f.Bucket, Key: f.Key, Attempt: store.NewAttemptID()})
					return err
				},
				"complete a session over it": func() error {
					s := session(t, m, f.Key)
					p := newPart(1, newNodes(2)...)
					savePart(t, m, s.ID, p)
					_, _, err := m.CompleteSession(t.Context(), store.Completion{File: fileOf(s, p), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
					return err
				},
			}
			for step, do := range steps {
				require.Equal(t, store.Denied, store.KindOf(do()), "%s: %s", name, step)
			}
			latest, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
			require.NoError(t, err)
			require.Equal(t, f.ID, latest.ID, name)
			_, _, err = m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: f.Key, Attempt: store.NewAttemptID()})
			require.NoError(t, err, "to its own key it changes nothing")
			if l.Mode != attr.Compliance {
				setAttributes(t, m, f.ID, f.Attributes, attr.Set{})
				require.NoError(t, steps["replace it"](), name)
			}
		}
	}},
	{"a locked file stays a version behind the latest", func(t *testing.T, m store.Metadata) {
		f := locked(t, m, "a", attr.Lock{Hold: true})
		_, previous, err := m.CommitFile(t.Context(), store.Commit{Change: store.Change{Before: store.KeepBefore}, File: newFile("a")})
		require.NoError(t, err)
		require.Equal(t, f.ID, previous)
		requireKind(t, store.Denied, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{Bucket: f.Bucket, Key: "a", Attempt: store.NewAttemptID()}))
		requireKind(t, store.Conflict, m.DeleteBucket(t.Context(), f.Bucket, ""))
	}},
	{"a lock that has ended keeps nothing, and an upload has none yet", func(t *testing.T, m store.Metadata) {
		ended := attr.Lock{Mode: attr.Compliance, Until: now().Add(-time.Second)}
		f := locked(t, m, "a", ended)
		put(t, m, newFile("a"))
		g := locked(t, m, "b", ended)
		setAttributes(t, m, g.ID, g.Attributes, attr.Set{})
		up := newFile("c", newPart(1, newNodes(2)...))
		up.Attributes.Lock.Hold = true
		begin(t, m, up)
		require.NoError(t, m.FailFile(t.Context(), up, "stopped", nil))
		again := newFile("c", newPart(1, newNodes(2)...))
		again.Attributes.Lock.Hold = true
		begin(t, m, again)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: again.ID, Attempt: store.NewAttemptID()}))
		requireKind(t, store.NotFound, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	}},
	{"a compliance lock becomes longer only", func(t *testing.T, m store.Metadata) {
		end := now().Add(24 * time.Hour)
		f := locked(t, m, "a", attr.Lock{Mode: attr.Compliance, Until: end})
		has := f.Attributes
		for _, l := range []attr.Lock{{}, {Hold: true}, {Mode: attr.Governance, Until: end.Add(time.Hour)}, {Mode: attr.Compliance, Until: end.Add(-time.Microsecond)}} {
			requireKind(t, store.Denied, m.SetAttributes(t.Context(), store.AttributeChange{File: f.ID, From: has, To: attr.Set{Lock: l}}))
		}
		for _, l := range []attr.Lock{{Mode: attr.Compliance, Until: end, Hold: true}, {Mode: attr.Compliance, Until: end.Add(time.Microsecond)}} {
			setAttributes(t, m, f.ID, has, attr.Set{Lock: l})
			has = attr.Set{Lock: l}
		}
		requireAttributes(t, m, f, has)
	}},
	{"a restored file has the lock of its attributes, and is erased all the same", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.State, f.Latest, f.CompletedAt, f.Attributes = store.Complete, true, now(), attr.Set{Lock: attr.Lock{Hold: true}}
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f})
		requireKind(t, store.Denied, m.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		restore(t, m, store.LogRecord{Kind: store.AttributesSet, File: store.File{ID: f.ID, Attributes: everyAttribute()}},
			store.LogRecord{Kind: store.AttributesSet, File: store.File{ID: store.NewFileID(), Attributes: everyAttribute()}})
		requireAttributes(t, m, f, everyAttribute())
		restore(t, m, store.LogRecord{Kind: store.AttributesSet, File: store.File{ID: f.ID, Attributes: f.Attributes}}, store.LogRecord{Kind: store.FileRemoved, File: store.File{ID: f.ID}})
		_, err := m.File(t.Context(), f.ID)
		requireKind(t, store.NotFound, err)
	}},
}
