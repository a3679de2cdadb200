package restapi

import (
	"bytes"
	"io"
)

// tail passes on what a multipart.Reader reads and keeps the end of it. The reader says
// io.EOF both at the form's closing delimiter and where a body ends within the headers of a
// part; only the former is a whole form.
type tail struct {
	from      io.Reader
	delimiter []byte // two hyphens and the boundary
	last      []byte // what was read last: all of it, or at least tailSize bytes
}

// tailSize is more than package multipart reads ahead of the line that it looks
// at: it has both in its buffer of 4 KiB.
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

// ended reports whether the last delimiter is the closing one, where the
// multipart.Reader has found an end.
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
