package restapi

import (
	"bufio"
	"bytes"
	"mime"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

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
