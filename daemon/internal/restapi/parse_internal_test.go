package restapi

import (
	"bufio"
	"bytes"
	"math/big"
	"mime"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var oneRange = regexp.MustCompile(`^(?i:bytes)=[ \t]*([0-9]*)-([0-9]*)[ \t]*$`)

// naiveRange reads a range with numbers of any size, and byte by byte.
func naiveRange(header string, size int64) (bytes []int64, partial, outside bool) {
	all := make([]int64, size)
	for i := range all {
		all[i] = int64(i)
	}
	m := oneRange.FindStringSubmatch(header)
	if m == nil || m[1] == "" && m[2] == "" {
		return all, false, false
	}
	number := func(s string) *big.Int { n, _ := new(big.Int).SetString(s, 10); return n }
	var picked []int64
	for _, i := range all {
		at := big.NewInt(i)
		switch {
		case m[1] == "" && new(big.Int).Add(at, number(m[2])).Cmp(big.NewInt(size)) >= 0,
			m[1] != "" && at.Cmp(number(m[1])) >= 0 && (m[2] == "" || at.Cmp(number(m[2])) <= 0):
			picked = append(picked, i)
		}
	}
	switch {
	case m[1] != "" && m[2] != "" && number(m[2]).Cmp(number(m[1])) < 0:
		return all, false, false
	case m[1] == "" && size == 0 && number(m[2]).Sign() > 0:
		return all, false, false
	}
	return picked, true, len(picked) == 0
}

func FuzzRangeHeader(f *testing.F) {
	for _, seed := range []string{"bytes=0-0", "bytes=5-", "bytes=-5", "bytes=-0", "bytes=9-2", "bytes=1-2,3-4", "BYTES= 1-2\t", "bytes=00000000000000000000001-2", "bytes=-99999999999999999999999", "", "bytes", "x=1-2"} {
		f.Add(seed, uint8(10))
		f.Add(seed, uint8(0))
	}
	f.Fuzz(func(t *testing.T, header string, size uint8) {
		want, partial, outside := naiveRange(header, int64(size))
		got, err := parseRange(header, int64(size))
		if outside {
			require.ErrorIs(t, err, store.OutOfRange)
			return
		}
		require.NoError(t, err)
		require.Equal(t, partial, got.partial, "%q", header)
		require.EqualValues(t, len(want), got.n, "%q", header)
		if got.n > 0 {
			require.Equal(t, want[0], got.off, "%q", header)
		}
	})
}

// A browser reads the last segment of the name from the header, and no part of the
// name is outside of the header's value.
func FuzzDisposition(f *testing.F) {
	for _, seed := range []string{"a.txt", "a/b", `"; filename=x`, "a\r\nX: y", "é%41\\", "dir/", "'", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		file := store.File{ID: store.NewFileID(), Key: store.Key(name)}
		if file.Key.Validate() != nil {
			return
		}
		text := disposition(file)
		require.NotContains(t, text, "\r")
		require.NotContains(t, text, "\n")
		kind, params, err := mime.ParseMediaType(text)
		require.NoError(t, err, text)
		require.Equal(t, "attachment", kind)
		want := name[strings.LastIndex(name, "/")+1:]
		if want == "" {
			want = file.ID.String()
		}
		require.Equal(t, want, params["filename"], text)
		require.Len(t, params, 1)
	})
}

// All accepted metadata is returned unchanged by a download's headers.
func FuzzMeta(f *testing.F) {
	for _, seed := range [][2]string{{"mtime", "now"}, {"a_b", ""}, {"-", " x"}, {"A", "b"}, {"", ""}, {"a", "\r\nb: c"}, {"a", "\x7f"}, {"é", "é"}} {
		f.Add(seed[0], seed[1], "other", "value")
	}
	f.Fuzz(func(t *testing.T, name, value, other, more string) {
		meta := map[string]string{name: value, other: more}
		if checkMeta(meta) != nil {
			return
		}
		h := http.Header{}
		setMeta(h, meta)
		var wire bytes.Buffer
		require.NoError(t, h.Write(&wire))
		wire.WriteString("\r\n")
		read, err := textproto.NewReader(bufio.NewReader(&wire)).ReadMIMEHeader()
		require.NoError(t, err)
		got, err := metaOf(http.Header(read))
		require.NoError(t, err)
		require.Equal(t, meta, got)
		dropMeta(h)
		require.Empty(t, h)
	})
}

// Every kind of error has a row in the table with an error status.
func TestEveryKindHasAnAnswer(t *testing.T) {
	t.Parallel()
	for kind := store.Internal; kind.String() != "internal" || kind == store.Internal; kind++ {
		as, ok := answers[kind]
		require.True(t, ok, kind.String())
		require.GreaterOrEqual(t, as.status, 400)
		require.NotEmpty(t, as.title)
		require.NotEmpty(t, as.hint)
		p := problemOf(store.Errorf(kind, "the cause"))
		require.Equal(t, kind.String(), string(p.Code))
		require.True(t, p.Code.Valid())
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	p := problemOf(store.Errorf(store.Internal, "password=secret"))
	require.NotContains(t, p.Detail+p.Hint, "secret")
	require.Equal(t, http.StatusInternalServerError, p.Status)
	p = problemOf(store.Errorf(store.Conflict, "c").WithHint("Do this."))
	require.Equal(t, "Do this.", p.Hint)
	require.Equal(t, http.StatusTeapot, problemOf(withStatus(http.StatusTeapot, store.Conflict)).Status)
}
