package restapi

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"mime/multipart"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	formBuffer  = 16 << 10 // bytes read from the connection at once; small, because it is not counted against the write memory
	formSlack   = 1 << 20  // bytes that fields and framing may add to the largest file
	maxField    = 4 << 10  // bytes of a field that is used
	maxIgnored  = 64 << 10 // bytes of a field that is ignored
	maxFields   = 64
	fieldBucket = "bucket"
	fieldName   = "name"
	fieldFile   = "file"
)

// form is a multipart/form-data body, read as a stream: fields, then the file.
type form struct {
	api    *api
	buffer *bufio.Reader // nil after close
	reader *multipart.Reader
	seen   *tail           // records the end of what reader has read
	part   *multipart.Part // the file
	rest   io.Reader       // the body after the form's end
	ended  bool
}

// openForm reads up to the file's first byte and sets the values of the fields in in.
func (a *api) openForm(c echo.Context, boundary string, in *incoming) (*form, error) {
	if boundary == "" {
		return nil, store.Errorf(store.Invalid, "Content-Type multipart/form-data has no boundary").
			WithHint("Let the client's library write the Content-Type of the form.")
	}
	length := c.Request().ContentLength
	if length > a.cfg.MaxFileSize+formSlack {
		return nil, a.tooLarge()
	}
	f := &form{api: a, buffer: a.buffer(httpedge.Body(c))}
	f.rest = f.buffer
	f.seen = &tail{from: f.rest, delimiter: []byte("--" + boundary)}
	f.reader = multipart.NewReader(f.seen, boundary)
	err := f.begin(in)
	in.most = max(0, length)
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (a *api) buffer(r io.Reader) *bufio.Reader {
	if b, ok := a.buffers.Get().(*bufio.Reader); ok {
		b.Reset(r)
		return b
	}
	return bufio.NewReaderSize(r, formBuffer)
}

// close returns the buffer to the pool. The form must not be used afterwards.
func (f *form) close() {
	if f.buffer != nil {
		f.buffer.Reset(nil)
		f.api.buffers.Put(f.buffer)
		f.buffer = nil
	}
}

// begin reads the fields before the file.
func (f *form) begin(in *incoming) error {
	for range maxFields {
		part, field, filename, err := f.next()
		if err != nil {
			return err
		}
		switch field {
		case fieldFile:
			return f.found(part, filename, in)
		case fieldBucket:
			in.bucket, err = readField(part, field)
		case fieldName:
			in.name, err = readField(part, field)
		default:
			err = skipField(part, field)
		}
		if err != nil {
			return err
		}
	}
	return store.Errorf(store.Invalid, "the form has more than %d fields before the file", maxFields).WithHint(typeHint)
}

func (f *form) found(part *multipart.Part, filename string, in *incoming) error {
	f.part = part
	if in.name == "" {
		in.name, in.before = filename, store.KeepBefore // the client did not choose the name, so it may not know what has it
	}
	in.contentType = part.Header.Get("Content-Type")
	if in.contentType == "" {
		in.contentType = octetStream
	}
	if err := httpedge.CheckContentType("Content-Type of the field file", in.contentType); err != nil {
		return err
	}
	in.size, in.body = -1, f
	return nil
}

// Read implements io.Reader for the file's bytes. At their end it also reads the rest of the
// form: a body that ends early after the file, or names another file or bucket there, is
// refused before anything is stored.
func (f *form) Read(p []byte) (int, error) {
	if f.ended {
		return 0, io.EOF
	}
	n, err := f.part.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, broken(err)
	}
	f.ended = true
	if err := f.finish(); err != nil {
		return n, err
	}
	return n, io.EOF
}

func (f *form) finish() error {
	for range maxFields {
		part, field, _, err := f.next()
		if errors.Is(err, errNoFile) {
			// Trailers are only available after the end of the body.
			_, err = io.CopyN(io.Discard, f.rest, maxIgnored)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = store.Errorf(store.Invalid, "the body continues after the end of the form")
			}
			return err
		}
		if err != nil {
			return err
		}
		if field == fieldFile || field == fieldBucket || field == fieldName {
			return store.Errorf(store.Invalid, "the field %s comes after the file", field).
				WithHint("Put the fields bucket and name before the one field file.")
		}
		if err := skipField(part, field); err != nil {
			return err
		}
	}
	return store.Errorf(store.Invalid, "the form has more than %d fields after the file", maxFields)
}

// errNoFile is the end of the form where the file was expected.
var errNoFile error = store.Errorf(store.Invalid, "the form has no field named file").WithHint(typeHint)

// next returns the next field. The filename is used unchanged: names are not
// paths, so a slash in it is harmless, and cutting at it would lose part of the name.
func (f *form) next() (part *multipart.Part, field, filename string, err error) {
	part, err = f.reader.NextRawPart() // raw: a transfer encoding is not decoded, these are the file's bytes
	if err == io.EOF {                 //nolint:errorlint // a form that ends early is mostly a wrapped io.EOF
		if !f.seen.ended() {
			return nil, "", "", broken(errors.New("its closing delimiter is missing"))
		}
		return nil, "", "", errNoFile
	}
	if err != nil {
		return nil, "", "", broken(err)
	}
	kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil || kind != "form-data" {
		return nil, "", "", store.Errorf(store.Invalid, "a part of the form has no Content-Disposition of the type form-data").WithHint(typeHint)
	}
	return part, params["name"], params["filename"], nil
}

func readField(part *multipart.Part, field string) (string, error) {
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return "", broken(err)
	}
	if len(value) > maxField {
		return "", store.Errorf(store.Invalid, "the field %s is longer than %d bytes", field, maxField)
	}
	return string(value), nil
}

func skipField(part *multipart.Part, field string) error {
	n, err := io.Copy(io.Discard, io.LimitReader(part, maxIgnored+1))
	if err != nil {
		return broken(err)
	}
	if n > maxIgnored {
		return store.Errorf(store.Invalid, "the unknown field %.64q is longer than %d bytes", field, maxIgnored).WithHint(typeHint)
	}
	return nil
}

// broken translates an error of package multipart into a domain error. An error that is
// one already, from the connection, is returned unchanged. The cause is not wrapped: it
// may be an io.EOF, which the engine would take for the end of the file.
func broken(err error) error {
	var known *store.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return store.Errorf(store.Invalid, "the multipart body is broken: %v", err).WithHint("Send the form again; it must end with its boundary and two hyphens.")
}
