package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/proto/problem"
)

// parsed applies the bounds of a download and an upload to a parsed log.
func parsed(t *testing.T, data []byte, format string, first any, of func() cut) {
	entries, err := journal.Parse(data, format, first)
	_, known := errors.AsType[*fault.Error](err)
	switch {
	case err != nil && !errors.Is(err, journal.ErrUnreadable) && !known:
		t.Fatalf("an error of another kind: %v", err)
	case err != nil:
		return
	}
	c := of()
	if !c.possible() {
		return
	}
	if n := c.count(); n < 1 || n > maxParts {
		t.Fatalf("%+v has %d parts", c, n)
	}
	all := newProgress(c)
	for i := range all.known(entries) {
		off, n := c.span(i)
		if off < 0 || n < 1 || off+n > c.size {
			t.Fatalf("part %d of %+v is %d bytes at %d", i, c, n, off)
		}
	}
}

// FuzzParseLog: no log content makes a run allocate unbounded memory or address bytes outside the file.
func FuzzParseLog(f *testing.F) {
	head := `{"format":"s3ctl download","version":1,"endpoint":"http://h","file_id":"x","size":%d,"crc64nvme":"SrNGGKm3HVA=","part_size":%d}` + "\n"
	for _, size := range []int64{0, 1, 33 << 20, 5 << 40, 1<<63 - 1, -1} {
		for _, part := range []int64{0, 1, 1 << 20, 1 << 62, -1 << 20} {
			f.Add([]byte(fmt.Sprintf(head, size, part) + `{"part":1,"crc64nvme":"SrNGGKm3HVA="}` + "\n" + `{"part":99999,"crc64nvme":""}` + "\n"))
		}
	}
	f.Add([]byte(`{"format":"s3ctl upload","version":1,"session_id":"s","source":{"size":70000000},"part_size":1048576}` + "\n"))
	f.Add([]byte(`{"format":"s3ctl download","version":2}` + "\n"))
	f.Add([]byte("\n\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var down fetchHead
		parsed(t, data, journal.Download, &down, func() cut { return cut{down.Size, down.PartSize} })
		var up uploadHead
		parsed(t, data, journal.Upload, &up, func() cut { return cut{up.Source.Size, up.PartSize} })
	})
}

// Every part size that a run chooses is accepted by a later run.
func TestCut_WhatIsChosenIsPossible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, maxSize).Draw(t, "size")
		s := Sizes{Least: rapid.Int64Range(1, 1<<30).Draw(t, "least"), Most: rapid.Int64Range(1, 1<<30).Draw(t, "most")}.or(sizes)
		c := cut{size, s.part(size, rapid.IntRange(0, 300).Draw(t, "streams"))}
		if c.part-mib < size {
			require.True(t, c.possible(), "%+v", c)
		}
	})
}

// memory is an in-memory io.WriterAt.
type memory []byte

// WriteAt implements io.WriterAt.
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

// However many bytes are written for a range, in pieces of any size, the bytes outside stay unchanged.
func TestBounded_LeavesWhatIsBesideTheRange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const size = 64
		off := rapid.Int64Range(0, size).Draw(t, "off")
		end := rapid.Int64Range(off, size).Draw(t, "end")
		m := memory(make([]byte, size))
		w := &bounded{w: io.NewOffsetWriter(m, off), most: end - off}
		var written, asked int64
		for range rapid.IntRange(1, 5).Draw(t, "writes") {
			p := bytes.Repeat([]byte{1}, rapid.IntRange(0, 80).Draw(t, "bytes"))
			n, err := w.Write(p)
			written, asked = written+int64(n), asked+int64(len(p))
			if n < len(p) {
				require.Equal(t, problem.Corrupt, fault.KindOf(err))
			} else {
				require.NoError(t, err)
			}
		}
		require.Equal(t, min(asked, end-off), written)
		for i, b := range m {
			require.Equal(t, int64(i) >= off && int64(i) < off+written, b == 1, "byte %d", i)
		}
	})
}

// The JSON field names are the format: docs/format/transfer-state.md.
func TestFetchHead_AsDocumented(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(fetchHead{Head: journal.Head{Format: journal.Download, Version: journal.Version}, Endpoint: "e", FileID: "f", Size: 1, CRC: "c", PartSize: 2})
	require.NoError(t, err)
	require.JSONEq(t, `{"format":"s3ctl download","version":1,"endpoint":"e","file_id":"f","size":1,"crc64nvme":"c","part_size":2}`, string(data))
}
