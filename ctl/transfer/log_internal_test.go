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

// parsed takes a parsed log into the pieces of a file.
func parsed(t *testing.T, data []byte, format string, first any, size, unit func() int64) {
	entries, err := journal.Parse(data, format, first)
	_, known := errors.AsType[*fault.Error](err)
	switch {
	case err != nil && !errors.Is(err, journal.ErrUnreadable) && !known:
		t.Fatalf("an error of another kind: %v", err)
	case err != nil:
		return
	}
	if size() < 0 || !possible(unit(), size()) && unit() != 1 {
		return
	}
	all := newPieces(size(), unit())
	for _, one := range knownOf(entries) {
		all.add(one)
	}
	end := int64(0)
	for _, one := range all.arrived() {
		if one.off < end || one.n < 1 || one.end() > size() {
			t.Fatalf("%+v of a file of %d bytes, behind %d", one, size(), end)
		}
		end = one.end()
	}
	if all.bytes() > size() {
		t.Fatalf("%d of %d bytes", all.bytes(), size())
	}
}

// FuzzParseLog: no log content makes a run allocate unbounded memory or address bytes outside the file.
func FuzzParseLog(f *testing.F) {
	head := `{"format":"s3ctl download","version":2,"endpoint":"http://h","file_id":"x","size":%d,"crc64nvme":"SrNGGKm3HVA="}` + "\n"
	for _, size := range []int64{0, 1, 33 << 20, 5 << 40, 1<<63 - 1, -1} {
		for _, off := range []int64{0, 1, 1 << 20, 1 << 62, -1 << 20} {
			f.Add([]byte(fmt.Sprintf(head, size) + fmt.Sprintf(`{"offset":%d,"size":1048576,"crc64nvme":"SrNGGKm3HVA="}`, off) + "\n" +
				fmt.Sprintf(`{"offset":0,"size":%d,"crc64nvme":"SrNGGKm3HVA="}`, off) + "\n"))
		}
	}
	f.Add([]byte(`{"format":"s3ctl upload","version":2,"session_id":"s","source":{"size":70000000},"unit":1048576}` + "\n" +
		`{"offset":1048576,"size":2097152,"crc64nvme":"SrNGGKm3HVA="}` + "\n"))
	f.Add([]byte(`{"format":"s3ctl download","version":3}` + "\n"))
	f.Add([]byte("\n\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var down fetchHead
		parsed(t, data, journal.Download, &down, func() int64 { return down.Size }, func() int64 { return 1 })
		var up uploadHead
		parsed(t, data, journal.Upload, &up, func() int64 { return up.Source.Size }, func() int64 { return up.Unit })
	})
}

// Every unit that a run chooses is accepted by a later run, and gives part numbers that a session has.
func TestUnit_WhatIsChosenIsPossible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, maxSize).Draw(t, "size")
		s := Sizes{Least: rapid.Int64Range(1, 1<<30).Draw(t, "least"), Most: rapid.Int64Range(1, 1<<30).Draw(t, "most")}.or(sizes)
		unit := s.unit(size)
		if unit-mib < size {
			require.True(t, possible(unit, size), "%d of %d", unit, size)
		}
		require.LessOrEqual(t, newPieces(size, unit).number(size-1-(size-1)%unit), maxParts)
		share := s.share(size, unit, rapid.IntRange(0, 300).Draw(t, "streams"))
		require.GreaterOrEqual(t, share, unit)
		require.LessOrEqual(t, share, max(s.Most, unit))
	})
	require.EqualValues(t, mib, sizes.unit(9<<30), "an interruption costs no more than this of each stream, up to 9.7 GiB")
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
	data, err := json.Marshal(fetchHead{Head: journal.Head{Format: journal.Download, Version: journal.Version}, Endpoint: "e", FileID: "f", Size: 1, CRC: "c"})
	require.NoError(t, err)
	require.JSONEq(t, `{"format":"s3ctl download","version":2,"endpoint":"e","file_id":"f","size":1,"crc64nvme":"c"}`, string(data))
}
