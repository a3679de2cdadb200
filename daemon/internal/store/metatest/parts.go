package metatest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// allParts returns the parts of a file, page by page.
func allParts(t *testing.T, m store.Metadata, id store.FileID) []store.Part {
	t.Helper()
	f, err := m.File(t.Context(), id)
	require.NoError(t, err)
	parts, err := store.AllParts(t.Context(), m, f)
	require.NoError(t, err)
	return parts
}

// sparse returns n parts of a few bytes with numbers 3 apart.
func sparse(n int) []store.Part {
	parts := make([]store.Part, n)
	for i := range parts {
		parts[i] = newPart(3*i+2, store.NewNodeID())
		parts[i].Size = int64(1 + i%5)
	}
	return parts
}

// pages counts the pages that are read after those that File returned.
type pages struct {
	store.FileReader
	read int
}

func (p *pages) Parts(ctx context.Context, id store.FileID, number int) ([]store.Part, error) {
	p.read++
	return p.FileReader.Parts(ctx, id, number)
}

// requireRanges demands that PartsFrom finds the parts of the file from any offset on, with their places, and that a
// range needs one further page at most.
func requireRanges(t *testing.T, m store.Metadata, f store.File, parts []store.Part) {
	t.Helper()
	var starts []int64
	size := int64(0)
	for _, p := range parts {
		starts = append(starts, size)
		size += p.Size
	}
	require.Equal(t, size, f.Size)
	for first := range parts {
		for _, offset := range []int64{starts[first], starts[first] + parts[first].Size - 1} {
			counted := &pages{FileReader: m}
			for p, err := range store.PartsFrom(t.Context(), counted, f, offset) {
				require.NoError(t, err)
				require.Equal(t, starts[first], p.Start)
				same(t, parts[first], p.Part)
				break
			}
			require.LessOrEqual(t, counted.read, 1)
		}
	}
	n := len(parts) / 3
	for p, err := range store.PartsFrom(t.Context(), m, f, starts[n]) {
		require.NoError(t, err)
		require.Equal(t, starts[n], p.Start)
		same(t, parts[n], p.Part)
		n++
	}
	require.Len(t, parts, n)
	for range store.PartsFrom(t.Context(), m, f, size) {
		require.Fail(t, "a part behind the end")
	}
}

var partsTests = []test{
	{"a file of many parts is returned with its first page, and marks of the others", func(t *testing.T, m store.Metadata) {
		for _, n := range []int{store.PartsPage - 1, store.PartsPage, store.PartsPage + 1, 3*store.PartsPage + 7} {
			f := newFile("a")
			parts := sparse(n)
			f.Parts, f.Size = parts, 0
			for _, p := range parts {
				f.Size += p.Size
			}
			put(t, m, f)
			byID, err := m.File(t.Context(), f.ID)
			require.NoError(t, err)
			same(t, parts[:min(n, store.PartsPage)], byID.Parts)
			require.Equal(t, store.MarksOf(parts), byID.Marks)
			byKey, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
			require.NoError(t, err)
			same(t, byID, byKey)
			requireRanges(t, m, byKey, parts)
		}
	}},
	{"so is one that was begun, and one of a session whose parts have other numbers", func(t *testing.T, m store.Metadata) {
		parts := sparse(2*store.PartsPage + 1)
		f := newFile("a")
		f.Size = 0
		for _, p := range parts {
			f.Size += p.Size
		}
		require.NoError(t, m.BeginFile(t.Context(), f))
		f.Parts = parts
		_, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		require.NoError(t, err)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		requireRanges(t, m, got, parts)

		s := session(t, m, "b")
		parts = sparse(2*store.PartsPage + 1)
		saveParts(t, m, s.ID, parts)
		whole := fileOf(s, parts...)
		for i := range whole.Parts {
			whole.Parts[i].Number = parts[i].Number
		}
		complete(t, m, whole, s.ID)
		got, err = m.LatestFile(t.Context(), s.Bucket, "b")
		require.NoError(t, err)
		requireRanges(t, m, got, parts)
	}},
	{"a completion that is refused leaves the marks of the file that exists", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		parts := sparse(store.PartsPage + 1)
		saveParts(t, m, s.ID, parts)
		complete(t, m, fileOf(s, parts...), s.ID)
		want, err := m.File(t.Context(), s.ID)
		require.NoError(t, err)
		other := fileOf(s, sparse(2*store.PartsPage)...)
		_, _, err = m.CompleteSession(t.Context(), store.Completion{File: other, Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
		require.Error(t, err)
		got, err := m.File(t.Context(), s.ID)
		require.NoError(t, err)
		same(t, want, got)
	}},
	{"Parts begins with the number", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		f.Parts = sparse(store.PartsPage + 10)
		put(t, m, f)
		for number, first := range map[int]int{-1: 0, 0: 0, 2: 0, 3: 1, 5: 1, 3*9 + 2: 9, 3*(store.PartsPage+9) + 2: store.PartsPage + 9} {
			page, err := m.Parts(t.Context(), f.ID, number)
			require.NoError(t, err)
			same(t, f.Parts[first:min(first+store.PartsPage, len(f.Parts))], page)
		}
		page, err := m.Parts(t.Context(), f.ID, store.MaxParts)
		require.NoError(t, err)
		require.Empty(t, page)
		page, err = m.Parts(t.Context(), store.NewFileID(), 0)
		require.NoError(t, err)
		require.Empty(t, page)
	}},
	{"a file whose parts were swept ends a read with NotFound", func(t *testing.T, m store.Metadata) {
		f := newFile("a")
		f.Parts, f.Size = sparse(store.PartsPage+1), 0
		for _, p := range f.Parts {
			f.Size += p.Size
		}
		put(t, m, f)
		f, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: f.ID}))
		for swept := 1; swept > 0; {
			swept, err = m.SweepDeleted(t.Context(), 0, store.MaxListLimit)
			require.NoError(t, err)
		}
		_, err = store.AllParts(t.Context(), m, f)
		requireKind(t, store.NotFound, err)
	}},
}
