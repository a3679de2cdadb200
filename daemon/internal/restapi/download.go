package restapi

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// fileHeaders are the headers of a download, besides X-Meta-*.
var fileHeaders = []string{
	"Accept-Ranges", echo.HeaderContentLength, "Content-Range", echo.HeaderContentType, echo.HeaderContentDisposition,
	"ETag", echo.HeaderLastModified, "Content-Location", echo.HeaderContentSecurityPolicy, httpedge.HeaderCRC64, httpedge.HeaderSHA256,
}

// cachePrivate lets a browser cache the file, and no shared cache between.
const cachePrivate = "private"

// DownloadFile implements GET /files/{file_id}.
func (a *api) DownloadFile(c echo.Context, id rest.FileID) error { return a.serve(c, id) }

// HeadFile implements HEAD /files/{file_id}: the same as GET without the body.
func (a *api) HeadFile(c echo.Context, id rest.FileID) error { return a.serve(c, id) }

func (a *api) serve(c echo.Context, text string) error {
	id, err := fileID(text)
	if err != nil {
		return err
	}
	o, err := a.open(c, id)
	if err != nil {
		return err
	}
	return a.serveObject(c, o)
}

// DownloadByName implements GET /files/by-name.
func (a *api) DownloadByName(c echo.Context, p rest.DownloadByNameParams) error {
	return a.serveLatest(c, store.BucketName(p.Bucket), store.Key(p.Name))
}

// HeadByName implements HEAD /files/by-name: the same as GET without the body.
func (a *api) HeadByName(c echo.Context, p rest.HeadByNameParams) error {
	return a.serveLatest(c, store.BucketName(p.Bucket), store.Key(p.Name))
}

// serveLatest finds the file by its name, and reads it by the id that it found: a change of the name meanwhile does not mix two files.
func (a *api) serveLatest(c echo.Context, bucket store.BucketName, key store.Key) error {
	if bucket == "" {
		bucket = store.DefaultBucket
	}
	if err := key.Validate(); err != nil {
		return err
	}
	o, err := a.cfg.Engine.OpenLatest(c.Request().Context(), bucket, key)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Location", o.File().ID.String())
	return a.serveObject(c, o)
}

// serveObject evaluates the request's conditions and sends the file.
func (a *api) serveObject(c echo.Context, o *engine.Object) error {
	f := o.File()
	h := c.Response().Header()
	switch httpedge.Evaluate(c.Request().Header, f) {
	case httpedge.NotModified:
		setETag(h, f)
		h.Set(echo.HeaderLastModified, lastModified(f))
		h.Set(echo.HeaderCacheControl, cachePrivate)
		c.Response().WriteHeader(http.StatusNotModified)
		return nil
	case httpedge.Failed:
		return store.Errorf(store.PreconditionFailed, "the file does not meet the request's preconditions").WithHint("Read the file's ETag again.")
	}
	return a.send(c, o, f)
}

// open finds the file. A range request with If-Match resumes an earlier download, which
// may have begun before the file was deleted or replaced.
func (a *api) open(c echo.Context, id store.FileID) (*engine.Object, error) {
	r := c.Request()
	tag, ok := httpedge.FirstTag(r.Header)
	if ok && r.Header.Get("Range") != "" {
		return a.cfg.Engine.Resume(r.Context(), id, tag)
	}
	return a.cfg.Engine.Open(r.Context(), id)
}

// send writes the requested range. Units are written from the engine's buffers to the
// connection without a copy: the length is known, so no chunked encoding is needed.
func (a *api) send(c echo.Context, o *engine.Object, f store.File) error {
	r, w := c.Request(), c.Response()
	span, err := httpedge.RangeOf(r.Header, f)
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", f.Size))
		return err
	}
	setFileHeaders(w.Header(), f, span)
	defer func() {
		if !w.Committed { // a problem document follows
			dropFileHeaders(w.Header())
		}
	}()
	w.Status = http.StatusOK
	if span.Partial {
		w.Status = http.StatusPartialContent
	}
	if r.Method == http.MethodHead || span.Len == 0 {
		w.WriteHeader(w.Status)
		return nil
	}
	// The first write sends the headers; an error before it still becomes a problem document.
	if err := o.WriteRange(r.Context(), w, span.Off, span.Len); err != nil {
		if w.Committed {
			return fmt.Errorf("%w: %w", httpedge.ErrBroken, err)
		}
		return err
	}
	return nil
}

// fileID parses an id in a path. A malformed id is NotFound.
func fileID(text string) (store.FileID, error) {
	id, err := store.ParseFileID(text)
	if err != nil {
		return id, store.Errorf(store.NotFound, "%v", err).WithHint("File ids are UUIDs; GET /files lists them.")
	}
	return id, nil
}

func setFileHeaders(h http.Header, f store.File, s httpedge.Span) {
	set := headers{h: h, values: make([]string, 0, len(fileHeaders)+1)}
	set.add("Accept-Ranges", "bytes")
	set.add(echo.HeaderContentType, f.ContentType)
	set.add(echo.HeaderContentLength, strconv.FormatInt(s.Len, 10))
	set.add(echo.HeaderContentDisposition, disposition(f))
	set.add(echo.HeaderLastModified, lastModified(f))
	// What a client uploaded must not run as a page of this address, nor be stored by a shared cache.
	set.add(echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	set.add(echo.HeaderCacheControl, cachePrivate)
	set.add("ETag", entityTag(f))
	setMeta(h, f.Meta)
	if s.Partial {
		set.add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.Off, s.Off+s.Len-1, f.Size))
		return
	}
	sums := checksumsOf(f)
	set.add(httpedge.HeaderCRC64, sums.CRC64NVME)
	if sums.SHA256 != "" {
		set.add(httpedge.HeaderSHA256, sums.SHA256)
	}
}

func dropFileHeaders(h http.Header) {
	for _, name := range fileHeaders {
		delete(h, name)
	}
	dropMeta(h)
}

// headers sets several headers in one allocation; names are in canonical form.
type headers struct {
	h      http.Header
	values []string // with room for all that are added
}

func (s *headers) add(name, value string) {
	s.values = append(s.values, value)
	n := len(s.values)
	s.h[name] = s.values[n-1 : n : n]
}

func entityTag(f store.File) string { return `"` + f.ETag + `"` }

func setETag(h http.Header, f store.File) { h["ETag"] = []string{entityTag(f)} }

func setChecksums(h http.Header, f store.File) {
	sums := checksumsOf(f)
	h.Set(httpedge.HeaderCRC64, sums.CRC64NVME)
	if sums.SHA256 != "" {
		h.Set(httpedge.HeaderSHA256, sums.SHA256)
	}
}

func lastModified(f store.File) string { return f.CompletedAt.UTC().Format(http.TimeFormat) }
