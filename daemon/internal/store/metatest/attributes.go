package metatest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// everyAttribute has each attribute, and tags at their bounds.
func everyAttribute() attr.Set {
	a := attr.Set{
		Checksums: everySum(), Tags: map[string]string{"empty": ""}, Owner: "owner",
		Encryption: attr.Encryption{Algorithm: "AES256", KeyID: "master-1", Key: []byte{0, 1, 0xff}},
		Lock:       attr.Lock{Mode: attr.Compliance, Until: time.UnixMicro(1e15 + 1).UTC()}, // it has ended
	}
	for i := range attr.MaxTags - 1 {
		a.Tags[strings.Repeat("ю", attr.MaxTagName-1)+fmt.Sprint(i)] = strings.Repeat("水", attr.MaxTagValue)
	}
	return a
}

// requireAttributes demands that each call that returns the file, which is complete and latest, returns these attributes.
func requireAttributes(t *testing.T, m store.Metadata, f store.File, want attr.Set) {
	t.Helper()
	byID, err := m.File(t.Context(), f.ID)
	require.NoError(t, err)
	same(t, want, byID.Attributes)
	byKey, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
	require.NoError(t, err)
	same(t, byID, byKey)
	byID.Parts = nil
	objects, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: f.Bucket, Limit: 100})
	require.NoError(t, err)
	folders, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: f.Bucket, Delimiter: "/", Limit: 100})
	require.NoError(t, err)
	for _, page := range []store.ObjectPage{objects, folders} {
		require.Len(t, page.Entries, 1)
		same(t, byID, *page.Entries[0].File)
	}
	for _, descending := range []bool{false, true} {
		for _, q := range []store.FileQuery{{}, {Bucket: f.Bucket}, {Bucket: f.Bucket, Key: f.Key}, {Prefix: string(f.Key)}} {
			q.Limit, q.Descending = 100, descending
			page, err := m.ListFiles(t.Context(), q)
			require.NoError(t, err)
			require.Len(t, page.Files, 1)
			same(t, byID, page.Files[0])
		}
	}
	batch, err := m.FilesByID(t.Context(), []store.FileID{f.ID})
	require.NoError(t, err)
	same(t, want, batch.Files[0].Attributes)
	batch, err = m.CompleteFiles(t.Context(), store.FileID{}, 100)
	require.NoError(t, err)
	same(t, want, batch.Files[0].Attributes)
	_, of, err := m.Part(t.Context(), batch.Files[0].Parts[0].ID)
	require.NoError(t, err)
	same(t, want, of.Attributes)
}

var attributeTests = []test{
	{"a file has the attributes of its commit, and keeps them when it is renamed", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.Attributes = everyAttribute()
		stored := put(t, m, f)
		same(t, f.Attributes, stored.Attributes)
		requireAttributes(t, m, f, f.Attributes)
		stored.Attributes.Tags["empty"], stored.Attributes.Encryption.Key[0] = "changed", 9
		requireAttributes(t, m, f, everyAttribute())
		renamed, _, err := m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: "b", Attempt: store.NewAttemptID()})
		require.NoError(t, err)
		same(t, everyAttribute(), renamed.Attributes)
		f.Key = "b"
		requireAttributes(t, m, f, everyAttribute())
	}},
	{"a file without attributes has none", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		require.True(t, put(t, m, f).Attributes.IsZero())
		requireAttributes(t, m, f, attr.Set{})
	}},
	{"each attribute is kept alone", func(t *testing.T, m store.Metadata) {
		all := everyAttribute()
		for i, a := range []attr.Set{{Checksums: all.Checksums}, {Tags: all.Tags}, {Owner: all.Owner}, {Encryption: all.Encryption}, {Lock: all.Lock}, {Lock: attr.Lock{Hold: true}}} {
			f := newFile(store.Key(fmt.Sprint(i)))
			f.Attributes = a
			put(t, m, f)
			got, err := m.File(t.Context(), f.ID)
			require.NoError(t, err)
			same(t, a, got.Attributes)
		}
	}},
	{"an upload has those of its commit", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.Attributes.Owner = "begun"
		begin(t, m, f)
		begun, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, f.Attributes, begun.Attributes)
		f.Attributes = everyAttribute()
		stored, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		require.NoError(t, err)
		same(t, everyAttribute(), stored.Attributes)
		requireAttributes(t, m, f, everyAttribute())
	}},
	{"a completed session has those of its completion", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		p := newPart(1, newNodes(2)...)
		savePart(t, m, s.ID, p)
		f := fileOf(s, p)
		f.Attributes = everyAttribute()
		same(t, everyAttribute(), complete(t, m, f, s.ID).Attributes)
		requireAttributes(t, m, f, everyAttribute())
	}},
	{"a restored file has its attributes", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.State, f.Latest, f.CompletedAt, f.Attributes = store.Complete, true, now(), everyAttribute()
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f})
		requireAttributes(t, m, f, everyAttribute())
	}},
	{"a session keeps those of its file, and may have none", func(t *testing.T, m store.Metadata) {
		with := session(t, m, "a")
		bare := newSession("a")
		bare.Attributes = attr.Set{}
		bare = create(t, m, bare, time.Hour)
		for _, s := range []store.Session{with, bare} {
			got, err := m.Session(t.Context(), s.ID)
			require.NoError(t, err)
			same(t, s.Attributes, got.Attributes)
		}
		with.Attributes.Tags["empty"] = "changed"
		same(t, everyAttribute(), sessionOf(t, m, with.ID).Attributes)
		page, err := m.ListSessionsByKey(t.Context(), store.SessionKeyQuery{Bucket: with.Bucket, Limit: 10})
		require.NoError(t, err)
		for _, s := range page.Sessions {
			require.Equal(t, s.ID == bare.ID, s.Attributes.IsZero())
		}
		bad := newSession("a")
		bad.Attributes.Tags = map[string]string{"": "x"}
		_, err = m.CreateSession(t.Context(), bad, time.Hour, store.SessionLimits{})
		requireKind(t, store.Invalid, err)
	}},
	{"attributes that are not valid are Invalid, and nothing is stored", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		many := map[string]string{}
		for i := range attr.MaxTags + 1 {
			many[fmt.Sprint(i)] = ""
		}
		for name, a := range map[string]attr.Set{
			"checksum":               {Checksums: attr.Checksums{sum(attr.ChecksumMD5, 0, 15)}},
			"too many tags":          {Tags: many},
			"tag without a name":     {Tags: map[string]string{"": "value"}},
			"long name":              {Tags: map[string]string{strings.Repeat("n", attr.MaxTagName+1): ""}},
			"long value":             {Tags: map[string]string{"name": strings.Repeat("v", attr.MaxTagValue+1)}},
			"not UTF-8":              {Tags: map[string]string{"name": "\xff"}},
			"key without algorithm":  {Encryption: attr.Encryption{Key: []byte{1}}},
			"key id alone":           {Encryption: attr.Encryption{KeyID: "id"}},
			"too long an encryption": {Encryption: attr.Encryption{Algorithm: "a", Key: make([]byte, attr.MaxEncryptionBytes)}},
		} {
			f := newFile("a")
			f.Attributes = a
			_, _, err := m.CommitFile(t.Context(), store.Commit{File: f})
			require.Equal(t, store.Invalid, store.KindOf(err), "%s: %v", name, err)
			requireKind(t, store.Invalid, m.BeginFile(t.Context(), f))
			requireNoFile(t, m, f.ID)
			whole := fileOf(s)
			whole.Attributes = a
			_, _, err = m.CompleteSession(t.Context(), store.Completion{File: whole, Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
			requireKind(t, store.Invalid, err)
			same(t, s, sessionOf(t, m, s.ID))
		}
	}},
}
