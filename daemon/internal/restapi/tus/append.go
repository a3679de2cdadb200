package tus

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// patch appends a body to an upload at the offset that both sides agree on.
func (h *handler) patch(c echo.Context) error {
	if t := c.Request().Header.Get(echo.HeaderContentType); t != offsetType {
		return httpedge.WithStatus(http.StatusUnsupportedMediaType, bad("the Content-Type is %.64q, not %s", t, offsetType))
	}
	at, err := count(c, hOffset)
	if err != nil {
		return err
	}
	if at < 0 {
		return bad("a PATCH needs Upload-Offset")
	}
	id, err := store.ParseFileID(c.Param("id"))
	if err != nil {
		return store.Errorf(store.NotFound, "%v", err).WithHint("POST " + Base + " creates an upload.")
	}
	ctx := c.Request().Context()
	release, err := h.locks.take(ctx, id, func() { httpedge.Interrupter(c)(store.Errorf(store.Canceled, "another request took over")) })
	if err != nil {
		return httpedge.WithStatus(http.StatusLocked, err)
	}
	defer release()
	u, err := h.find(ctx, c)
	if err != nil {
		return err
	}
	if u.tag.final() {
		return store.Errorf(store.Denied, "upload %s was made of partial ones", u.id).WithHint("A final upload is not appended to; create another.")
	}
	if at != u.offset {
		u.headers(c)
		return store.Errorf(store.Conflict, "Upload-Offset is %d, but the upload has %d bytes", at, u.offset).WithHint("Read the offset with HEAD and continue from there.")
	}
	if u, err = h.lengthNow(c, u); err != nil {
		return err
	}
	if u.done { // the response to its last PATCH was lost
		u.headers(c)
		if err := (&body{from: bufio.NewReaderSize(httpedge.Body(c), 16)}).surplus(); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}
	if u, err = h.take(c, u); err != nil {
		return err
	}
	if u, err = h.complete(c, u); err != nil {
		return err
	}
	u.headers(c)
	return c.NoContent(http.StatusNoContent)
}

// lengthNow sets a length that was deferred. It can be set once.
func (h *handler) lengthNow(c echo.Context, u upload) (upload, error) {
	n, err := count(c, hLength)
	switch {
	case err != nil, n < 0, n == u.length:
		return u, err
	case u.length >= 0:
		return u, bad("Upload-Length is %d, but was %d before", n, u.length)
	case n < u.offset:
		return u, bad("Upload-Length is %d, but the upload has %d bytes", n, u.offset)
	}
	if err := h.fits(n); err != nil {
		return u, err
	}
	if err := h.Engine.SetSessionSize(c.Request().Context(), u.change(c), n); err != nil {
		return u, err
	}
	u.length = n
	return u, nil
}

// bodyBuffer is not counted against the write memory, so it is small: the engine's reads bypass it.
const bodyBuffer = 4 << 10

// take appends a body to the upload and returns the new state. The bytes of a body that
// ends early are kept, and the error is returned.
func (h *handler) take(c echo.Context, u upload) (upload, error) {
	sum, err := parseChecksum(c.Request().Header.Get(hChecksum))
	if err != nil {
		return u, err
	}
	room := h.MaxSize - u.offset
	if u.length >= 0 {
		room = u.length - u.offset
	}
	if c.Request().ContentLength > room {
		return u, tooMuch(room)
	}
	b := &body{from: bufio.NewReaderSize(httpedge.Body(c), bodyBuffer), left: room}
	b.req = engine.PartRequest{Most: max(0, c.Request().ContentLength), Caller: httpedge.Caller(c).AccessKey, Interrupt: httpedge.Interrupter(c)}
	// Bytes that arrived are kept although the client has disconnected.
	ctx := context.WithoutCancel(c.Request().Context())
	if sum != nil {
		return h.takeWhole(ctx, b, u, sum)
	}
	for b.more() {
		if u, err = h.takePart(ctx, b, u); err != nil {
			return u, err
		}
	}
	return u, b.failure()
}

// takePart stores one part of a body. If more bytes follow than the upload lacks, the part
// is refused, so that such a body does not complete the upload.
func (h *handler) takePart(ctx context.Context, b *body, u upload) (upload, error) {
	size := max(h.PartSize, (u.length+store.MaxParts/2-1)/(store.MaxParts/2))
	r := b.req
	r.Body, r.Verify = io.LimitReader(b, size), func(engine.Sums) error { return b.surplus() }
	return h.put(ctx, u, r)
}

// takeWhole stores a body whose checksum must match before any of it is kept.
func (h *handler) takeWhole(ctx context.Context, b *body, u upload, sum *expectedSum) (upload, error) {
	if !b.more() {
		if err := b.failure(); err != nil {
			return u, err
		}
		if !sum.matches() {
			return u, h.mismatch(sum)
		}
		return u, nil
	}
	r := b.req
	r.Body = io.TeeReader(b, sum.hash)
	r.Verify = func(engine.Sums) error {
		if b.more(); b.failure() != nil {
			return b.failure()
		}
		if !sum.matches() {
			return h.mismatch(sum)
		}
		return nil
	}
	return h.put(ctx, u, r)
}

func (h *handler) mismatch(sum *expectedSum) error {
	return httpedge.WithStatus(statusChecksumMismatch, store.Errorf(store.Corrupt, "the bytes do not have the %s of Upload-Checksum", sum.name).
		WithHint("Nothing of them was kept. Send them again from the same offset."))
}

// put appends a part. If another request has appended at the same offset meanwhile, the
// client must read the offset again.
func (h *handler) put(ctx context.Context, u upload, r engine.PartRequest) (upload, error) {
	r.Session, r.Number, r.Size, r.Append = u.id, u.parts+1, -1, true
	p, err := h.Engine.PutPart(ctx, r)
	if errors.Is(err, store.Conflict) {
		return u, store.Errorf(store.Conflict, "another request has appended to upload %s", u.id).WithHint("Read the offset with HEAD and continue from there.")
	}
	if err != nil {
		return u, err
	}
	u.parts, u.offset = u.parts+1, u.offset+p.Size
	return u, nil
}

func tooMuch(room int64) error {
	return store.Errorf(store.TooLarge, "the body has more than the %d bytes that the upload still lacks", room).WithHint(hintSpec)
}

// body is a request's body that reports an early end as io.EOF and keeps the error.
type body struct {
	from *bufio.Reader
	req  engine.PartRequest // the fields that all its parts share
	left int64              // bytes that the upload still lacks
	err  error              // why it ended early

	tooLong bool // err is that more bytes came than the upload lacks
}

// more reports whether there is another byte to store.
func (b *body) more() bool {
	if b.err != nil {
		return false
	}
	_, err := b.from.Peek(1)
	switch {
	case err == nil && b.left == 0:
		b.err, b.tooLong = tooMuch(0), true
		return false
	case err == nil:
		return true
	case !errors.Is(err, io.EOF):
		b.err = err
	}
	return false
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err, err = err, io.EOF
	}
	return n, err
}

// surplus returns the error of a body that has more bytes than the upload lacks, and nil for
// any other body.
func (b *body) surplus() error {
	if b.left == 0 && !b.more() && b.tooLong {
		return b.err
	}
	return nil
}

// failure returns why the body ended early, or nil.
func (b *body) failure() error { return b.err }
