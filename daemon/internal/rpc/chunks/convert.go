package chunks

import (
	"google.golang.org/protobuf/proto"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// Conversions between the types of store and of the wire. Received values are only checked
// for syntax; chunk.Store validates the rest.

func specToWire(s chunk.Spec) *storagev1.ChunkSpec {
	return &storagev1.ChunkSpec{ChunkId: s.ID.String(), UnitSize: int32(s.UnitSize), SizeHint: s.SizeHint}
}

func specFromWire(s *storagev1.ChunkSpec) (chunk.Spec, error) {
	if s == nil {
		return chunk.Spec{}, store.Errorf(store.Invalid, "the first message of the write has no spec")
	}
	id, err := store.ParseChunkID(s.GetChunkId())
	return chunk.Spec{ID: id, UnitSize: int(s.GetUnitSize()), SizeHint: s.GetSizeHint()}, err
}

func labelToWire(l chunk.Label) *storagev1.Label {
	w := &storagev1.Label{
		Bucket:      string(l.Bucket),
		Key:         string(l.Key),
		ContentType: []byte(l.ContentType),
		CreatedAt:   l.CreatedAt,
		FileSize:    l.FileSize,
		PartNumber:  int64(l.PartNumber),
		PartOffset:  l.PartOffset,
		PartSize:    l.PartSize,
		PartCrc64:   l.PartCRC64,
		K:           int32(l.K),
		M:           int32(l.M),
		UnitSize:    int32(l.UnitSize),
	}
	if !l.File.IsZero() {
		w.FileId = l.File.String()
	}
	return w
}

func labelFromWire(w *storagev1.Label) (l chunk.Label, err error) {
	if w.GetFileId() != "" {
		if l.File, err = store.ParseFileID(w.GetFileId()); err != nil {
			return l, err
		}
	}
	l.Bucket = store.BucketName(w.GetBucket())
	l.Key = store.Key(w.GetKey())
	l.ContentType = string(w.GetContentType())
	l.CreatedAt = w.GetCreatedAt()
	l.FileSize = w.GetFileSize()
	l.PartNumber = int(w.GetPartNumber())
	l.PartOffset = w.GetPartOffset()
	l.PartSize = w.GetPartSize()
	l.PartCRC64 = w.GetPartCrc64()
	l.K, l.M, l.UnitSize = int(w.GetK()), int(w.GetM()), int(w.GetUnitSize())
	return l, nil
}

// EncodeLabel encodes a label as the protobuf message Label.
func EncodeLabel(l chunk.Label) []byte {
	b, err := proto.Marshal(labelToWire(l))
	if err != nil { // the bucket or the key is not UTF-8, which no surface admits
		return nil
	}
	return b
}

// DecodeLabel decodes a label of EncodeLabel. Invalid: it is not one.
func DecodeLabel(b []byte) (chunk.Label, error) {
	w := new(storagev1.Label)
	if err := proto.Unmarshal(b, w); err != nil {
		return chunk.Label{}, store.Errorf(store.Invalid, "the label cannot be read: %w", err)
	}
	return labelFromWire(w)
}

func infoToWire(i chunk.Info) *storagev1.ChunkInfo {
	return &storagev1.ChunkInfo{
		ChunkId:  i.ID.String(),
		Size:     i.Size,
		UnitSize: int32(i.UnitSize),
		Sum:      uint32(i.Sum),
		StoredAt: i.StoredAt,
		Label:    labelToWire(i.Label),
	}
}

func infoFromWire(w *storagev1.ChunkInfo) (i chunk.Info, err error) {
	if i.ID, err = store.ParseChunkID(w.GetChunkId()); err != nil {
		return i, err
	}
	i.Size = w.GetSize()
	i.UnitSize = int(w.GetUnitSize())
	i.Sum = store.ChunkSum(w.GetSum())
	i.StoredAt = w.GetStoredAt()
	i.Label, err = labelFromWire(w.GetLabel())
	return i, err
}
