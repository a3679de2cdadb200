package metatest

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func sum(algorithm attr.ChecksumAlgorithm, parts, length int) attr.Checksum {
	return attr.Checksum{Algorithm: algorithm, Parts: parts, Value: bytes.Repeat([]byte{byte(algorithm), 0, 0xff, 0x80}, 8)[:length]}
}

// everySum has a checksum of each algorithm, and one of them of the two types.
func everySum() attr.Checksums {
	return attr.Checksums{
		sum(attr.ChecksumCRC32, 0, 4), sum(attr.ChecksumCRC32C, 0, 4), sum(attr.ChecksumCRC64NVME, 0, 8), sum(attr.ChecksumSHA1, 0, 20),
		sum(attr.ChecksumSHA256, 0, 32), sum(attr.ChecksumSHA256, store.MaxParts, 32), sum(attr.ChecksumMD5, 0, 16),
	}
}

// checkedPart is newPart with these checksums.
func checkedPart(number int, sums attr.Checksums, nodes ...store.NodeID) store.Part {
	p := newPart(number, nodes...)
	p.Checksums = sums
	return p
}

// requirePartsEverywhere demands that each call that returns parts returns these, of a file that is latest.
func requirePartsEverywhere(t *testing.T, m store.Metadata, f store.File, parts ...store.Part) {
	t.Helper()
	byID, err := m.File(t.Context(), f.ID)
	require.NoError(t, err)
	same(t, parts, byID.Parts)
	byKey, err := m.LatestFile(t.Context(), f.Bucket, f.Key)
	require.NoError(t, err)
	same(t, parts, byKey.Parts)
	page, err := m.Parts(t.Context(), f.ID, 1)
	require.NoError(t, err)
	same(t, parts, page)
	same(t, parts, allParts(t, m, f.ID))
	for _, p := range parts {
		got, _, err := m.Part(t.Context(), p.ID)
		require.NoError(t, err)
		same(t, p, got)
	}
	after, err := m.PartsAfter(t.Context(), store.PartID{}, 100)
	require.NoError(t, err)
	require.Subset(t, after, parts)
	batch, err := m.FilesByID(t.Context(), []store.FileID{f.ID})
	require.NoError(t, err)
	same(t, parts, batch.Files[0].Parts)
	batch, err = m.CompleteFiles(t.Context(), store.FileID{}, 100)
	require.NoError(t, err)
	for _, other := range batch.Files {
		if other.ID == f.ID {
			same(t, parts, other.Parts)
		}
	}
}

var checksumTests = []test{
	{"the parts of a file keep their checksums, and those without keep none", func(t *testing.T, m store.Metadata) {
		nodes := newNodes(2)
		md5 := attr.Checksums{sum(attr.ChecksumMD5, 0, 16)}
		parts := []store.Part{checkedPart(1, everySum(), nodes...), newPart(2, nodes...), checkedPart(3, md5, nodes...), newPart(4, nodes...)}
		f := newFile("a", parts...)
		put(t, m, f)
		requirePartsEverywhere(t, m, f, parts...)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Nil(t, got.Parts[1].Checksums)
	}},
	{"so do those of an upload that was begun, as the commit has them", func(t *testing.T, m store.Metadata) {
		f := newFile("a", checkedPart(1, attr.Checksums{sum(attr.ChecksumCRC32, 0, 4)}, newNodes(2)...))
		begin(t, m, f)
		begun, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, f.Parts, begun.Parts)
		f.Parts[0].Checksums = everySum()
		_, _, err = m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
		require.NoError(t, err)
		requirePartsEverywhere(t, m, f, f.Parts...)
	}},
	{"parts of sessions have theirs, and keep them when the sessions are joined", func(t *testing.T, m store.Metadata) {
		s, other := session(t, m, "a"), session(t, m, "b")
		nodes := newNodes(2)
		md5 := attr.Checksums{sum(attr.ChecksumMD5, 0, 16)}
		one, two, three := checkedPart(1, md5, nodes...), newPart(2, nodes...), checkedPart(3, everySum(), nodes...)
		beginPart(t, m, s.ID, newPart(1, nodes...))
		savePart(t, m, s.ID, one)
		require.NoError(t, m.AddPart(t.Context(), by(s.ID), two, time.Hour))
		savePart(t, m, other.ID, checkedPart(3, md5, nodes...))
		beginPart(t, m, other.ID, three)
		savePart(t, m, other.ID, three)
		requireParts(t, m, s.ID, one, two)
		requireParts(t, m, other.ID, three)

		f := fileOf(s, one, two, three)
		f.Parts[1].Checksums = md5 // only ids, sizes and numbers are used
		stored := complete(t, m, f, s.ID, other.ID)
		same(t, []store.Part{one, two, three}, stored.Parts)
		requirePartsEverywhere(t, m, f, one, two, three)
	}},
	{"a part keeps its checksums when it is moved, widened and renamed with its file", func(t *testing.T, m store.Metadata) {
		p := checkedPart(1, everySum(), newNodes(2)...)
		f := newFile("a", p)
		put(t, m, f)
		to := store.Placement{Node: store.NewNodeID(), Sum: p.Chunks[0].Sum}
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), p.Chunks[0], to))
		require.NoError(t, m.WidenPart(t.Context(), p.ID, 2))
		p.M, p.Chunks = 2, []store.Placement{to, p.Chunks[1], {}}
		_, _, err := m.RenameFile(t.Context(), store.Rename{File: f.ID, Bucket: f.Bucket, Key: "b", Attempt: store.NewAttemptID()})
		require.NoError(t, err)
		f.Key = "b"
		requirePartsEverywhere(t, m, f, p)
	}},
	{"restored parts have theirs", func(t *testing.T, m store.Metadata) {
		nodes := newNodes(2)
		f := newFile("a", checkedPart(1, everySum(), nodes...), newPart(2, nodes...))
		f.State, f.Latest, f.CompletedAt = store.Complete, true, now()
		restore(t, m, store.LogRecord{Kind: store.FileStored, File: f})
		requirePartsEverywhere(t, m, f, f.Parts...)
	}},
	{"checksums that are not valid are Invalid, and nothing is stored", func(t *testing.T, m store.Metadata) {
		s := session(t, m, "a")
		crc, crc32c := sum(attr.ChecksumCRC32, 0, 4), sum(attr.ChecksumCRC32C, 0, 4)
		for name, sums := range map[string]attr.Checksums{
			"no algorithm":      {sum(0, 0, 0)},
			"unknown algorithm": {sum(attr.ChecksumMD5+1, 0, 16)},
			"too short":         {sum(attr.ChecksumMD5, 0, 15)},
			"too long":          {sum(attr.ChecksumCRC64NVME, 0, 9)},
			"none":              {{Algorithm: attr.ChecksumSHA1}},
			"twice":             {crc, crc},
			"composite twice":   {sum(attr.ChecksumCRC32, 2, 4), sum(attr.ChecksumCRC32, 3, 4)},
			"not in order":      {crc32c, crc},
			"composite first":   {sum(attr.ChecksumCRC32, 2, 4), crc},
			"negative parts":    {sum(attr.ChecksumCRC32, -1, 4)},
			"too many parts":    {sum(attr.ChecksumCRC32, store.MaxParts+1, 4)},
		} {
			f := newFile("a", newPart(1, newNodes(1)...), checkedPart(2, sums, newNodes(1)...))
			_, _, err := m.CommitFile(t.Context(), store.Commit{File: f})
			require.Equal(t, store.Invalid, store.KindOf(err), "%s: %v", name, err)
			requireKind(t, store.Invalid, m.BeginFile(t.Context(), f))
			requireNoFile(t, m, f.ID)
			requireKind(t, store.Invalid, m.BeginPart(t.Context(), s.ID, f.Parts[1]))
			requireKind(t, store.Invalid, m.SavePart(t.Context(), by(s.ID), f.Parts[1], time.Hour))
			requireKind(t, store.Invalid, m.AddPart(t.Context(), by(s.ID), f.Parts[1], time.Hour))
		}
		requireParts(t, m, s.ID)
	}},
}
