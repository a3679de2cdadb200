package postgres

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// storeValues are the values of StoreFiles: one array per column.
func storeValues(state store.FileState, rows []*fileRow) db.Values {
	n := len(rows)
	ids, buckets, keys := make([][16]byte, n), make([]string, n), make(pgtype.FlatArray[[]byte], n)
	sizes, types, markers := make([]int64, n), make([]string, n), make([]bool, n)
	created, crcs := make(pgtype.FlatArray[*time.Time], n), make([]int64, n)
	shas, etags, metas := make(pgtype.FlatArray[[]byte], n), make([]string, n), make(pgtype.FlatArray[[]byte], n)
	callers, attributes, locks := make([]string, n), make(pgtype.FlatArray[[]byte], n), make(pgtype.FlatArray[*time.Time], n)
	for i, r := range rows {
		f := &r.file
		ids[i], buckets[i], keys[i] = f.ID, string(f.Bucket), []byte(f.Key)
		sizes[i], types[i], markers[i] = f.Size, f.ContentType, f.DeleteMarker
		created[i], crcs[i] = db.TimeOrNull(&f.CreatedAt), int64(f.CRC64)
		shas[i], etags[i], metas[i], callers[i] = r.sha, f.ETag, r.meta, r.change.Caller
		attributes[i], locks[i] = r.attributes, db.TimeOrNull(&r.locked)
	}
	return newPartArrays(rows).addTo(db.Values{
		"state": int16(state), "ids": ids, "buckets": buckets, "keys": keys, "sizes": sizes, "types": types, "markers": markers,
		"created": created, "crcs": crcs, "shas": shas, "etags": etags, "metas": metas, "callers": callers, "attributes": attributes, "locks": locks,
	})
}

// fileValues are the values of a statement that stores one file.
func fileValues(r *fileRow) db.Values {
	f := &r.file
	return db.Values{
		"id": [16]byte(f.ID), "bucket": string(f.Bucket), "key": []byte(f.Key), "size": f.Size, "type": f.ContentType, "marker": f.DeleteMarker,
		"created": db.TimeOrNull(&f.CreatedAt), "crc": int64(f.CRC64), "sha": r.sha, "etag": f.ETag, "meta": r.meta, "caller": r.change.Caller,
		"attributes": r.attributes, "lock": db.TimeOrNull(&r.locked),
	}
}

// partValues are the values of a statement that stores a part of a session.
func partValues(session store.FileID, p store.Part) db.Values {
	nodes, sums := pack.Pack(p.Chunks)
	return db.Values{
		"session": [16]byte(session), "id": [16]byte(p.ID), "number": int32(p.Number), "size": p.Size, "k": int16(p.K), "m": int16(p.M),
		"unit_size": int32(p.UnitSize), "crc": int64(p.CRC64), "nodes": nodes, "sums": sums, "checksums": pack.Checksums(p.Checksums),
	}
}

// replaceArgs are the arguments of ReplaceLatest for these rows, of which one with a condition is alone; claimed is the file
// that must be claimed, or nil.
func replaceArgs(claimed any, rows ...*fileRow) []any {
	n := len(rows)
	buckets, keys := make([]string, n), make(pgtype.FlatArray[[]byte], n)
	keep, callers := make([]bool, n), make([]string, n)
	for i, r := range rows {
		buckets[i], keys[i] = string(r.file.Bucket), []byte(r.file.Key)
		keep[i], callers[i] = r.change.Before == store.KeepBefore, r.change.Caller
	}
	var c store.Condition
	if n == 1 {
		c = rows[0].change.If
	}
	return []any{buckets, keys, claimed, keep, callers, c.Absent, c.NoETags}
}

// guardArgs are the arguments of Guard for the key; without a bucket for the key of the file of.
func guardArgs(c store.Condition, bucket store.BucketName, key store.Key, of store.FileID) []any {
	return []any{string(bucket), []byte(key), c.Exists, c.Absent, fileOrNull(c.File), c.ETags, c.NoETags, fileOrNull(of)}
}

func fileOrNull(id store.FileID) any {
	if id.IsZero() {
		return nil
	}
	return [16]byte(id)
}

// partArrays are the parts of some files, one array per column.
type partArrays struct {
	files, ids  [][16]byte
	numbers     []int32
	sizes       []int64
	k, m        []int16
	unitSizes   []int32
	crcs        []int64
	nodes, sums pgtype.FlatArray[[]byte]
	checksums   pgtype.FlatArray[[]byte]
}

func newPartArrays(rows []*fileRow) *partArrays {
	n := 0
	for _, r := range rows {
		n += len(r.parts)
	}
	a := &partArrays{
		files: make([][16]byte, 0, n), ids: make([][16]byte, 0, n), numbers: make([]int32, 0, n), sizes: make([]int64, 0, n),
		k: make([]int16, 0, n), m: make([]int16, 0, n), unitSizes: make([]int32, 0, n), crcs: make([]int64, 0, n),
		nodes: make(pgtype.FlatArray[[]byte], 0, n), sums: make(pgtype.FlatArray[[]byte], 0, n),
		checksums: make(pgtype.FlatArray[[]byte], 0, n),
	}
	for _, r := range rows {
		for i := range r.parts {
			a.add(r.file.ID, &r.parts[i])
		}
	}
	return a
}

func (a *partArrays) add(file store.FileID, r *partRow) {
	p := &r.part
	a.files, a.ids = append(a.files, file), append(a.ids, p.ID)
	a.numbers, a.sizes = append(a.numbers, int32(p.Number)), append(a.sizes, p.Size)
	a.k, a.m = append(a.k, int16(p.K)), append(a.m, int16(p.M))
	a.unitSizes, a.crcs = append(a.unitSizes, int32(p.UnitSize)), append(a.crcs, int64(p.CRC64))
	a.nodes, a.sums = append(a.nodes, r.nodes), append(a.sums, r.sums)
	a.checksums = append(a.checksums, r.checksums)
}

// addTo adds the arrays to the values of a statement.
func (a *partArrays) addTo(v db.Values) db.Values {
	v["part_files"], v["part_ids"], v["numbers"], v["part_sizes"] = a.files, a.ids, a.numbers, a.sizes
	v["k"], v["m"], v["unit_sizes"], v["part_crcs"], v["nodes"], v["sums"] = a.k, a.m, a.unitSizes, a.crcs, a.nodes, a.sums
	v["checksums"] = a.checksums
	return v
}

// repairArrays are the repairs that the parts of some files need, one array per column.
type repairArrays struct {
	parts      [][16]byte
	chunks     []int64
	priorities []int16
}

func newRepairArrays(rows []*fileRow) repairArrays {
	a := repairArrays{parts: [][16]byte{}, chunks: []int64{}, priorities: []int16{}}
	for _, r := range rows {
		for _, p := range r.parts {
			if t := p.repair; t.Chunks != 0 {
				a.parts, a.chunks, a.priorities = append(a.parts, t.Chunk.Part), append(a.chunks, int64(t.Chunks)), append(a.priorities, int16(t.Priority))
			}
		}
	}
	return a
}

// addTo adds the arrays to the values of a statement.
func (a repairArrays) addTo(v db.Values) db.Values {
	v["missing_parts"], v["missing"], v["priorities"] = a.parts, a.chunks, a.priorities
	return v
}

// chunkArrays are chunks on nodes, one array per column.
type chunkArrays struct {
	parts   [][16]byte
	indexes []int16
	nodes   [][16]byte
}

func (a *chunkArrays) add(part store.PartID, index int, node store.NodeID) {
	a.parts, a.indexes, a.nodes = append(a.parts, part), append(a.indexes, int16(index)), append(a.nodes, node)
}

func newChunkArrays() *chunkArrays {
	return &chunkArrays{parts: [][16]byte{}, indexes: []int16{}, nodes: [][16]byte{}}
}

// placedChunks are the stored chunks of the file.
func placedChunks(r *fileRow) *chunkArrays {
	a := newChunkArrays()
	for _, p := range r.parts {
		for i := range len(p.nodes) / pack.NodeBytes {
			if node := store.NodeID(p.nodes[i*pack.NodeBytes:]); !node.IsZero() {
				a.add(p.part.ID, i, node)
			}
		}
	}
	return a
}
