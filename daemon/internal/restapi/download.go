package restapi

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// fileHeaders are the headers that a download sets, besides X-Meta-*; a problem document must not carry them.
var fileHeaders = []string{
	"Accept-Ranges", echo.HeaderContentLength, "Content-Range", echo.HeaderContentType, echo.HeaderContentDisposition,
	"ETag", echo.HeaderLastModified, echo.HeaderContentSecurityPolicy, headerCRC64, headerSHA256,
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
	f := o.File()
	h := c.Response().Header()
	switch evaluate(c.Request().Header, f) {
	case notModified:
		setETag(h, f)
		h.Set(echo.HeaderLastModified, lastModified(f))
		h.Set(echo.HeaderCacheControl, cachePrivate)
		c.Response().WriteHeader(http.StatusNotModified)
		return nil
	case failed:
		return withStatus(http.StatusPreconditionFailed,
			store.Errorf(store.Conflict, "the file does not meet the request's preconditions").WithHint("Ask for the file's ETag again."))
	}
	return a.send(c, o, f)
}

// open finds the file. A range request with If-Match resumes an earlier download, which
// may have begun before the file was deleted or replaced.
func (a *api) open(c echo.Context, id store.FileID) (*engine.Object, error) {
	r := c.Request()
	tag, _, ok := cutTag(r.Header.Get("If-Match"))
	if ok && r.Header.Get("Range") != "" {
		return a.cfg.Engine.Resume(r.Context(), id, tag)
	}
	return a.cfg.Engine.Open(r.Context(), id)
}

// send writes the requested range. Units are written from the engine's buffers to the
// connection without a copy: the length is known, so no chunked encoding is needed.
func (a *api) send(c echo.Context, o *engine.Object, f store.File) error {
	r, w := c.Request(), c.Response()
	span, err := rangeOf(r.Header, f)
	if err != nil {
		a.problem(c, problemOf(err), "Content-Range", fmt.Sprintf("bytes */%d", f.Size))
		return err
	}
	setFileHeaders(w.Header(), f, span)
	w.Status = http.StatusOK
	if span.partial {
		w.Status = http.StatusPartialContent
	}
	if r.Method == http.MethodHead || span.n == 0 {
		w.WriteHeader(w.Status)
		return nil
	}
	// The first write sends the headers; an error before it still becomes a problem document.
	if err := o.WriteRange(r.Context(), w, span.off, span.n); err != nil {
		if w.Committed {
			return fmt.Errorf("%w: %w", errBroken, err)
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

func setFileHeaders(h http.Header, f store.File, s span) {
	h.Set("Accept-Ranges", "bytes")
	h.Set(echo.HeaderContentType, f.ContentType)
	h.Set(echo.HeaderContentLength, strconv.FormatInt(s.n, 10))
	h.Set(echo.HeaderContentDisposition, disposition(f))
	h.Set(echo.HeaderLastModified, lastModified(f))
	// What a client uploaded must not run as a page of this address, nor be stored by a shared cache.
	h.Set(echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	h.Set(echo.HeaderCacheControl, cachePrivate)
	setETag(h, f)
	setMeta(h, f.Meta)
	if s.partial {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.off, s.off+s.n-1, f.Size))
		return
	}
	setChecksums(h, f)
}

func setETag(h http.Header, f store.File) { h["ETag"] = []string{`"` + f.ETag + `"`} }

func setChecksums(h http.Header, f store.File) {
	sums := checksumsOf(f)
	h.Set(headerCRC64, sums.CRC64NVME)
	if sums.SHA256 != "" {
		h.Set(headerSHA256, sums.SHA256)
	}
}

func lastModified(f store.File) string { return f.CompletedAt.UTC().Format(http.TimeFormat) }
