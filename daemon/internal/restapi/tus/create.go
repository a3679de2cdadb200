package tus

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// create begins an upload, or concatenates partial uploads into a file.
func (h *handler) create(c echo.Context) error {
	header := c.Request().Header
	concat := header.Get(hConcat)
	kept := tag{Metadata: header.Get(hMetadata), Concat: concat}
	if kept.final() {
		return h.concatenate(c, kept)
	}
	if concat != "" && !kept.partial() {
		return bad("Upload-Concat %.64q is neither partial nor final;URLS", concat)
	}
	r, err := h.request(c)
	if err != nil {
		return err
	}
	if r.Size, err = h.length(c); err != nil {
		return err
	}
	r.Meta = kept.meta()
	ctx := c.Request().Context()
	s, err := h.Engine.CreateSession(ctx, r)
	if err != nil {
		return err
	}
	u := uploadOf(s)
	if header.Get(echo.HeaderContentType) == offsetType {
		if u, err = h.take(c, u); err != nil {
			return err
		}
	}
	if u, err = h.complete(c, u); err != nil {
		return err
	}
	return h.created(c, u)
}

func (h *handler) created(c echo.Context, u upload) error {
	httpedge.SetLocation(c, Base+"/"+u.id.String())
	u.headers(c)
	return c.NoContent(http.StatusCreated)
}

// request reads the fields that both kinds of creation share.
func (h *handler) request(c echo.Context) (r engine.SessionRequest, err error) {
	pairs, err := parseMetadata(c.Request().Header.Get(hMetadata))
	if err != nil {
		return r, err
	}
	r.Size, r.Caller = -1, httpedge.Caller(c).AccessKey
	r.Bucket, r.Key, r.ContentType = h.target(pairs)
	if r.Key == "" {
		r.Key = store.Key(store.NewFileID().String()) // the client gave no name
	}
	return r, nil
}

// length reads the length of the upload; -1 if it is deferred.
func (h *handler) length(c echo.Context) (int64, error) {
	n, err := count(c, hLength)
	if err != nil {
		return 0, err
	}
	later := c.Request().Header.Get(hDefer)
	switch {
	case later != "" && later != "1":
		return 0, bad("Upload-Defer-Length is %.16q, and can only be 1", later)
	case (later == "1") == (n >= 0):
		return 0, bad("a creation has either Upload-Length or Upload-Defer-Length: 1")
	}
	return n, h.fits(n)
}

func (h *handler) fits(length int64) error {
	if length > h.MaxSize {
		return store.Errorf(store.TooLarge, "Upload-Length is over the limit of %d bytes", h.MaxSize).WithLimit("file_size", 0).WithHint("Split the file.")
	}
	return nil
}

// concatenate makes one file of partial uploads, in the given order.
func (h *handler) concatenate(c echo.Context, kept tag) error {
	if c.Request().Header.Get(hLength) != "" {
		return bad("a final upload has no Upload-Length of its own")
	}
	r, err := h.request(c)
	if err != nil {
		return err
	}
	r.Meta = kept.meta()
	ctx := c.Request().Context()
	var ids []store.FileID
	for url := range strings.FieldsSeq(strings.TrimPrefix(kept.Concat, "final;")) {
		s, err := h.partial(ctx, url)
		if err != nil {
			return err
		}
		ids = append(ids, s.ID)
	}
	if len(ids) == 0 {
		return bad("a final upload names the partial ones")
	}
	f, err := h.Engine.Concatenate(ctx, r, ids)
	if err != nil {
		return err
	}
	return h.created(c, uploadOfFile(f))
}

// partial finds a complete partial upload by its URL.
func (h *handler) partial(ctx context.Context, url string) (s store.Session, err error) {
	id, err := store.ParseFileID(url[strings.LastIndexByte(url, '/')+1:])
	if err != nil {
		return s, bad("%.80q is not an upload of this server", url)
	}
	if s, err = h.Engine.Session(ctx, id); err != nil {
		return s, err
	}
	u := uploadOf(s)
	switch {
	case !u.tag.partial():
		return s, store.Errorf(store.Conflict, "upload %s is not a partial one", id).WithHint("Create it with Upload-Concat: partial.")
	case u.offset != u.length:
		return s, store.Errorf(store.Conflict, "upload %s has %d of %d bytes", id, u.offset, u.length).WithHint("Finish the partial uploads first.")
	}
	return s, nil
}
