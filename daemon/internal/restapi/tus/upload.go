package tus

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// upload is an upload as the protocol sees it.
type upload struct {
	session store.Session // the zero one of an upload that is complete
	tag     tag
	id      store.FileID
	parts   int   // that have arrived in a row
	offset  int64 // bytes that have
	length  int64 // -1: not said yet
	done    bool  // it is a file
}

// find looks an upload up, under way or complete. NotFound.
func (h *handler) find(ctx context.Context, c echo.Context) (upload, error) {
	id, err := store.ParseFileID(c.Param("id"))
	if err != nil {
		return upload{}, store.Errorf(store.NotFound, "%v", err).WithHint("POST " + Base + " begins an upload.")
	}
	s, err := h.Engine.Session(ctx, id)
	if errors.Is(err, store.NotFound) {
		o, openErr := h.Engine.Open(ctx, id)
		if openErr != nil {
			return upload{}, err // what became of the session is what the client should hear
		}
		return uploadOfFile(o.File()), nil
	}
	if err != nil {
		return upload{}, err
	}
	return uploadOf(s), nil
}

// uploadOfFile is an upload that is complete.
func uploadOfFile(f store.File) upload {
	return upload{id: f.ID, tag: tagOf(f.Meta), offset: f.Size, length: f.Size, done: true}
}

// uploadOf takes the parts that have arrived in a row; there are no others, unless
// somebody has put some by another surface.
func uploadOf(s store.Session) upload {
	u := upload{session: s, tag: tagOf(s.Meta), id: s.ID, length: s.Size}
	for _, p := range s.Parts {
		if p.Number != u.parts+1 {
			break
		}
		u.parts, u.offset = p.Number, u.offset+p.Size
	}
	return u
}

// headers tell how far the upload is.
func (u upload) headers(c echo.Context) {
	out := c.Response().Header()
	out.Set(hOffset, strconv.FormatInt(u.offset, 10))
	switch {
	case u.length >= 0:
		out.Set(hLength, strconv.FormatInt(u.length, 10))
	default:
		out.Set(hDefer, "1")
	}
	if u.tag.Metadata != "" {
		out.Set(hMetadata, u.tag.Metadata)
	}
	if u.tag.Concat != "" {
		out.Set(hConcat, u.tag.Concat)
	}
	u.expires(c)
}

func (u upload) expires(c echo.Context) {
	if !u.done && !u.session.ExpiresAt.IsZero() {
		c.Response().Header().Set(hExpires, u.session.ExpiresAt.UTC().Format(http.TimeFormat))
	}
}

// head tells a client where to resume. A request that is still appending is broken off first: it
// is most likely the client's own, from before it was interrupted.
//
// A client takes an offset that equals the length for success. So an upload whose bytes are all
// there becomes a file before that is said, where the PATCH that sent the last byte could not make it one.
func (h *handler) head(c echo.Context) error {
	ctx := c.Request().Context()
	if id, err := store.ParseFileID(c.Param("id")); err == nil {
		release, err := h.locks.take(ctx, id, func() {})
		if err != nil {
			return h.WithStatus(http.StatusLocked, err)
		}
		defer release()
	}
	u, err := h.find(ctx, c)
	if err != nil {
		return err
	}
	if !u.done {
		if u, err = h.complete(ctx, u); err != nil {
			return err
		}
	}
	u.headers(c)
	return c.NoContent(http.StatusOK)
}

// remove ends an upload. One that is complete is a file, and is deleted as one.
func (h *handler) remove(c echo.Context) error {
	ctx := c.Request().Context()
	u, err := h.find(ctx, c)
	if err != nil {
		return err
	}
	if u.done {
		return h.WithStatus(http.StatusConflict, store.Errorf(store.Conflict, "upload %s is complete", u.id).WithHint("DELETE /files/%s removes the file.", u.id))
	}
	if err := h.Engine.AbortSession(ctx, u.id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// complete makes an upload a file once all its bytes are there. A partial one waits to be put together with others.
func (h *handler) complete(ctx context.Context, u upload) (upload, error) {
	if u.tag.partial() || u.length < 0 || u.offset < u.length {
		return u, nil
	}
	_, err := h.Engine.CompleteSession(context.WithoutCancel(ctx), engine.CompleteRequest{Session: u.id, Size: u.length})
	u.done = err == nil
	return u, err
}
