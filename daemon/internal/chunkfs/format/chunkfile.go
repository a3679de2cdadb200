package format

import (
	"hash/crc32"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Sizes in bytes that the writer of a chunk file needs.
const (
	FileDataAt     = 4096 // of the header's block, so that the data is aligned to pages
	FileFooterSize = 72
)

// The format of a chunk file, see docs/format/chunk-file.md: a header block, the
// data, the table of unit checksums, the label, and a footer of fixed size.
const (
	fileHeaderSize = 64
	fileTailGuess  = 4096 // read first: it usually holds table, label and footer

	fileMagic   = "RSchunk\x00"
	footerMagic = "RSchend\x00"
)

// FileHeader encodes the header block of a new chunk file.
func FileHeader(spec chunk.Spec) []byte {
	b := make([]byte, 0, FileDataAt)
	b = append(b, fileMagic...)
	b = le.AppendUint32(b, Version)
	b = le.AppendUint32(b, uint32(spec.UnitSize))
	b = appendID(b, spec.ID)
	b = append(b, make([]byte, fileHeaderSize-4-len(b))...)
	return sealCRC(b)[:FileDataAt]
}

// FileTail encodes everything behind the data: table, label and footer.
func FileTail(c Content) []byte {
	label := appendLabel(nil, c.Info.Label, c.Ext)
	b := appendCRCs(make([]byte, 0, 4*len(c.CRCs)+len(label)+FileFooterSize), c.CRCs)
	b = append(b, label...)
	inner := boundCRC(c.Info.ID, b)
	at := len(b)
	b = append(b, footerMagic...)
	b = le.AppendUint32(b, Version)
	b = le.AppendUint32(b, uint32(c.Info.UnitSize))
	b = appendID(b, c.Info.ID)
	b = append(b, 0, 0, 0)
	b = le.AppendUint32(b, uint32(c.Info.Sum))
	b = le.AppendUint64(b, uint64(c.Info.Size))
	b = le.AppendUint64(b, uint64(c.Info.StoredAt))
	b = le.AppendUint32(b, uint32(len(label)))
	b = le.AppendUint32(b, inner)
	b = le.AppendUint32(b, 0)
	return le.AppendUint32(b, chunk.CRC32C(b[at:]))
}

// boundCRC is the checksum of the chunk's id followed by b, so that the same bytes stored
// under another chunk's id do not match.
func boundCRC(id store.ChunkID, b []byte) uint32 {
	return crc32.Update(chunk.CRC32C(appendID(nil, id)), castagnoli, b)
}

// ReadChunkFile reads and checks everything but the data of a file that should hold the
// chunk id. Anything that does not match is Corrupt, with a message that names it.
func ReadChunkFile(f File, id store.ChunkID) (Content, error) {
	size, err := f.Size()
	if err != nil {
		return Content{}, err
	}
	head := make([]byte, min(size, fileHeaderSize))
	if err := ReadFull(f, head, 0); err != nil {
		return Content{}, err
	}
	if err := checkFileHeader(head, id); err != nil {
		return Content{}, err
	}
	if size < FileDataAt+FileFooterSize {
		return Content{}, corrupt(id, "chunk file is truncated: %d bytes are less than the minimum", size)
	}
	tail := make([]byte, min(size-FileDataAt, fileTailGuess))
	if err := ReadFull(f, tail, size-int64(len(tail))); err != nil {
		return Content{}, err
	}
	c, length, err := parseFooter(tail[len(tail)-FileFooterSize:], id, size)
	if err != nil {
		return Content{}, err
	}
	if length > int64(len(tail)) {
		tail = make([]byte, length)
		if err := ReadFull(f, tail, size-length); err != nil {
			return Content{}, err
		}
	}
	return c, parseTail(&c, tail[int64(len(tail))-length:])
}

func corrupt(id store.ChunkID, text string, args ...any) error {
	return store.Errorf(store.Corrupt, text, args...).WithItem(id)
}

func checkFileHeader(b []byte, id store.ChunkID) error {
	switch {
	case len(b) < fileHeaderSize:
		return corrupt(id, "chunk file is truncated: %d bytes are less than its header", len(b))
	case string(b[:8]) != fileMagic:
		return corrupt(id, "not a chunk file: it begins with %q", b[:8])
	case !sealed(b):
		return corrupt(id, "chunk file: the header does not match its checksum")
	case le.Uint32(b[8:]) != Version:
		return corrupt(id, "chunk file: format version %d is not supported by this program (it supports %d)", le.Uint32(b[8:]), Version)
	case parseID(b[16:]) != id:
		return corrupt(id, "chunk file holds another chunk: %s", parseID(b[16:]))
	}
	return nil
}

// parseFooter decodes the footer. length is that of table, label and footer together.
func parseFooter(b []byte, id store.ChunkID, fileSize int64) (c Content, length int64, err error) {
	switch {
	case string(b[:8]) != footerMagic:
		return c, 0, corrupt(id, "chunk file is truncated or has bytes appended: it does not end with a footer")
	case !sealed(b):
		return c, 0, corrupt(id, "chunk file: the footer does not match its checksum")
	case parseID(b[16:]) != id:
		return c, 0, corrupt(id, "chunk file has the footer of another chunk: %s", parseID(b[16:]))
	}
	c.Info = chunk.Info{
		ID:       id,
		UnitSize: int(le.Uint32(b[12:])),
		Sum:      store.ChunkSum(le.Uint32(b[36:])),
		Size:     int64(le.Uint64(b[40:])),
		StoredAt: int64(le.Uint64(b[48:])),
	}
	label := int64(le.Uint32(b[56:]))
	if c.Info.UnitSize < 1 || c.Info.UnitSize > chunk.MaxUnitSize || c.Info.Size < 1 || c.Info.Size > fileSize || label > maxLabelBytes {
		return c, 0, corrupt(id, "chunk file: the footer is out of bounds")
	}
	length = 4*UnitsIn(c.Info.Size, c.Info.UnitSize) + label + FileFooterSize
	if want := FileDataAt + c.Info.Size + length; want != fileSize {
		return c, 0, corrupt(id, "chunk file has %d bytes, its footer says %d", fileSize, want)
	}
	return c, length, nil
}

// parseTail decodes the table of unit checksums and the label into c.
func parseTail(c *Content, tail []byte) error {
	footer := tail[len(tail)-FileFooterSize:]
	inner := tail[:len(tail)-FileFooterSize]
	if boundCRC(c.Info.ID, inner) != le.Uint32(footer[60:]) {
		return corrupt(c.Info.ID, "chunk file: table and label do not match their checksum")
	}
	table := 4 * UnitsIn(c.Info.Size, c.Info.UnitSize)
	c.CRCs = parseCRCs(inner[:table])
	if SumOf(c.CRCs) != c.Info.Sum {
		return corrupt(c.Info.ID, "chunk file: the table does not match the chunk's sum")
	}
	label, ext, ok := parseLabel(inner[table:])
	if !ok {
		return corrupt(c.Info.ID, "chunk file: the label is malformed")
	}
	c.Info.Label, c.Ext = label, ext
	return nil
}
