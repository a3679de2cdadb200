package restapi

import (
	"bytes"
	"io"
)

// tail forwards the reads of a multipart.Reader and keeps the last bytes. The reader returns
// io.EOF both at the form's closing delimiter and where a body ends within the headers of a
// part; only the former is a complete form.
type tail struct {
	from      io.Reader
	delimiter []byte // two hyphens and the boundary
	last      []byte // the last bytes read: all of them, or at least tailSize
}

// tailSize is more than package multipart reads ahead of the line that it parses:
// both fit in its buffer of 4 KiB.
const tailSize = 8 << 10

// Read implements io.Reader.
func (t *tail) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.last = append(t.last, p[:n]...)
	if over := len(t.last) - tailSize; over > tailSize {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return n, err
}

// ended reports whether the last delimiter is the closing one. It is called when the
// multipart.Reader has returned io.EOF.
func (t *tail) ended() bool {
	lines := bytes.Split(t.last, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		if behind, is := bytes.CutPrefix(lines[i], t.delimiter); is {
			padding, closing := bytes.CutPrefix(behind, []byte("--"))
			return closing && len(bytes.Trim(padding, " \t\r")) == 0
		}
	}
	return false
}
