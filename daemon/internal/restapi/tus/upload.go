package tus

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// upload is the state of an upload in the protocol's terms.
type upload struct {
	session store.Session // zero for a complete upload
	tag     tag
	id      store.FileID
	parts   int   // stored, contiguous from the first
	offset  int64 // bytes in these parts
	length  int64 // -1: deferred
	done    bool  // it is a file
}

// find looks up an upload, unfinished or complete. NotFound.
func (h *handler) find(ctx context.Context, c echo.Context) (upload, error) {
	id, err := store.ParseFileID(c.Param("id"))
	if err != nil {
		return upload{}, store.Errorf(store.NotFound, "%v", err).WithHint("POST " + Base + " creates an upload.")
	}
	s, err := h.Engine.Session(ctx, id)
	if errors.Is(err, store.NotFound) {
		o, openErr := h.Engine.Open(ctx, id)
		if openErr != nil {
			return upload{}, err // the client asked for the session, so its error is reported
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

// uploadOf counts the contiguous parts; there are no others, unless a client has stored some
// through another surface.
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

// change is one of the upload's session by the client of the request.
func (u upload) change(c echo.Context) store.SessionChange {
	return store.SessionChange{Session: u.id, Caller: httpedge.Caller(c).AccessKey}
}

// headers sets the offset and the creation headers of the upload.
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

// head reports the offset from which a client resumes. A request that is still appending is
// interrupted first: it is most likely the client's own, on a dead connection.
//
// A client takes an offset that equals the length for success. So if the PATCH that sent the
// last byte could not make the upload a file, that happens here, before the offset is reported.
func (h *handler) head(c echo.Context) error {
	ctx := c.Request().Context()
	if id, err := store.ParseFileID(c.Param("id")); err == nil {
		release, err := h.locks.take(ctx, id, func() {})
		if err != nil {
			return httpedge.WithStatus(http.StatusLocked, err)
		}
		defer release()
	}
	u, err := h.find(ctx, c)
	if err != nil {
		return err
	}
	if !u.done {
		if u, err = h.complete(c, u); err != nil {
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
		return httpedge.WithStatus(http.StatusConflict, store.Errorf(store.Conflict, "upload %s is complete", u.id).WithHint("DELETE /files/%s removes the file.", u.id))
	}
	if err := h.Engine.AbortSession(ctx, u.change(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// complete makes an upload a file once it has all its bytes. A partial one waits for concatenation.
func (h *handler) complete(c echo.Context, u upload) (upload, error) {
	if u.tag.partial() || u.length < 0 || u.offset < u.length {
		return u, nil
	}
	r := engine.CompleteRequest{Change: store.Change{Caller: httpedge.Caller(c).AccessKey}, Session: u.id, Size: u.length}
	_, err := h.Engine.CompleteSession(context.WithoutCancel(c.Request().Context()), r)
	u.done = err == nil
	return u, err
}
