package restapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

const border = "border"

// takeForm reads a form to its end as an upload does. length -1 is a chunked body.
func takeForm(t testing.TB, body []byte, length int64) (in incoming, data []byte, err error) {
	t.Helper()
	a := &api{cfg: Config{MaxFileSize: 1 << 30}}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/files", bytes.NewReader(body))
	r.ContentLength = length
	router := httpedge.New(httpedge.Config{Log: slog.New(slog.DiscardHandler), Public: []string{"/files"}})
	router.POST("/files", func(c echo.Context) error {
		var f *form
		if f, err = a.openForm(c, border, &in); err == nil {
			defer f.close()
			data, err = io.ReadAll(in.body)
		}
		return nil
	})
	router.ServeHTTP(httptest.NewRecorder(), r)
	return in, data, err
}

// fileIn reads the form with package multipart alone and returns its first file.
func fileIn(body []byte) ([]byte, error) {
	r := multipart.NewReader(bytes.NewReader(body), border)
	for {
		p, err := r.NextRawPart()
		if err != nil {
			return nil, err
		}
		_, params, _ := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		data, err := io.ReadAll(p)
		if err != nil || params["name"] == fieldFile {
			return data, err
		}
	}
}

// lastDelimiter is the last line that begins with the delimiter.
func lastDelimiter(body []byte) (line string) {
	for l := range strings.SplitSeq(string(body), "\n") {
		if strings.HasPrefix(l, "--"+border) {
			line = strings.TrimRight(l, " \t\r")
		}
	}
	return line
}

func formOf(file string, more ...string) []byte {
	var b strings.Builder
	part := func(header, value string) { fmt.Fprintf(&b, "--%s\r\n%s\r\n\r\n%s\r\n", border, header, value) }
	part(`Content-Disposition: form-data; name="bucket"`, "photos")
	part(`Content-Disposition: form-data; name="file"; filename="x"`, file)
	for _, m := range more {
		part(m, "more")
	}
	b.WriteString("--" + border + "--\r\n")
	return []byte(b.String())
}

// A body that ends before its closing delimiter is refused, wherever it ends and whatever
// the file contains.
func TestForm_EveryCutIsRefused(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"small": "content", "empty": "", "over the buffers": strings.Repeat("0123456789abcde\n", 20_000),
		"the delimiter within a line": "x--" + border + "--x", "with other line ends": "a\n--" + border + "--\nb",
	} {
		body := formOf(file, `Content-Disposition: form-data; name="note"`)
		whole := len(body) - len("\r\n") // what may be missing is the line's end
		for _, length := range []int64{0, -1} {
			first := max(0, whole-400)
			for cut := first; cut <= len(body); cut++ {
				if cut == whole+1 {
					continue // half a line's end: the library refuses it, which is as good
				}
				size := length
				if size == 0 {
					size = int64(cut)
				}
				_, data, err := takeForm(t, body[:cut], size)
				if cut >= whole {
					require.NoError(t, err, "%s, %d of %d", name, cut, len(body))
					require.Equal(t, file, string(data))
					continue
				}
				require.ErrorIs(t, err, store.Invalid, "%s, %d of %d", name, cut, len(body))
			}
		}
	}
}

func TestForm_OnlyFormDataIsAField(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"attachment", "inline", "file", "form-data2", ""} {
		body := strings.ReplaceAll(string(formOf("x")), "form-data", kind)
		_, _, err := takeForm(t, []byte(body), int64(len(body)))
		require.ErrorIs(t, err, store.Invalid, kind)
	}
	body := strings.ReplaceAll(string(formOf("x")), "form-data", "Form-DATA")
	_, _, err := takeForm(t, []byte(body), int64(len(body)))
	require.NoError(t, err)
}

func TestForm_ContentTypeIsOneThatADownloadCanCarry(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"text", "a/b; x=\"\x80\"", "a/b; x=" + strings.Repeat("y", 1024), "a/b; x=\"\u00e9\""} {
		body := strings.Replace(string(formOf("x")), "filename=\"x\"\r\n", "filename=\"x\"\r\nContent-Type: "+bad+"\r\n", 1)
		_, _, err := takeForm(t, []byte(body), int64(len(body)))
		require.ErrorIs(t, err, store.Invalid, "%.40q", bad)
	}
}

// Raw bodies follow the same rule.
func TestRaw_ContentTypeIsOneThatADownloadCanCarry(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"text", "a/b; charset=\"\x80\"", "a/b; x=" + strings.Repeat("y", 1024)} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/files?name=x", nil)
		r.Header.Set("Content-Type", bad)
		_, _, err := contentType(r)
		require.ErrorIs(t, err, store.Invalid, "%.40q", bad)
	}
}

// An accepted form is one that package multipart reads to the same file, and whose last
// delimiter is the closing one; any shorter prefix is refused.
func FuzzForm(f *testing.F) {
	f.Add(formOf("content"), uint16(1))
	f.Add(formOf("", `Content-Disposition: form-data; name="note"`), uint16(20))
	f.Add([]byte("--border\r\n"), uint16(0))
	f.Add([]byte("--border\nContent-Disposition: form-data; name=file\n\nx\n--border-- \t\n"), uint16(3))
	f.Add([]byte("preamble\r\n--border--\r\n"), uint16(0))
	f.Add([]byte("--border\r\nContent-Disposition: form-data; name=file\r\n\r\na\n--border--\nb\r\n--border\r\n"), uint16(0))
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		_, data, err := takeForm(t, body, int64(len(body)))
		_, chunked, errChunked := takeForm(t, body, -1)
		require.Equal(t, err == nil, errChunked == nil, "%v, in chunks %v", err, errChunked)
		if err != nil {
			require.NotEqual(t, store.Internal, store.KindOf(err), "%v", err)
			require.False(t, errors.Is(err, io.EOF), "the engine would take it for the file's end")
			return
		}
		require.Equal(t, data, chunked)
		want, err := fileIn(body)
		require.NoError(t, err)
		require.Equal(t, want, data)
		require.Equal(t, "--"+border+"--", lastDelimiter(body))
		if end := bytes.LastIndex(body, []byte("--"+border+"--")); int(cut) < end+len("--"+border+"--") {
			_, _, err = takeForm(t, body[:cut], int64(cut))
			require.Error(t, err)
		}
	})
}
