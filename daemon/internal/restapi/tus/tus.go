// Package tus implements the resumable upload protocol tus 1.0.0 (tus.io/protocols/resumable-upload)
// on the engine's sessions, so that browsers and tus clients of every language can resume
// uploads. An upload is a session; its id is that of the file that it becomes.
//
// Extensions: creation, creation-with-upload, creation-defer-length, termination, checksum,
// concatenation, expiration.
//
// # How bytes become parts
//
// A PATCH's body is cut into parts, each durable before the next begins, so that the bytes
// of an interrupted body are kept. Parts are only appended (engine.PartRequest.Append): if two
// requests write at the same offset through two gateways, one of them gets a conflict and its
// client reads the offset again. So the parts are always contiguous, in the order sent.
package tus

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Config holds the engine and the limits of the protocol.
type Config struct {
	Engine *engine.Engine

	MaxSize  int64 // bytes of the largest upload; default store.MaxFileBytes
	PartSize int64 // least bytes of the parts that bodies are cut into; default 64 MiB
}

// Base is the path where uploads are created; an upload's path is Base and its id.
const Base = "/tus"

const (
	version    = "1.0.0"
	extensions = "creation,creation-with-upload,creation-defer-length,termination,checksum,concatenation,expiration"
	offsetType = "application/offset+octet-stream"
	hintSpec   = "See docs/tus.md, or tus.io/protocols/resumable-upload."

	statusChecksumMismatch = 460 // the protocol's own
)

// The protocol's headers.
const (
	hResumable = "Tus-Resumable"
	hVersion   = "Tus-Version"
	hExtension = "Tus-Extension"
	hMaxSize   = "Tus-Max-Size"
	hAlgorithm = "Tus-Checksum-Algorithm"
	hOffset    = "Upload-Offset"
	hLength    = "Upload-Length"
	hDefer     = "Upload-Defer-Length"
	hMetadata  = "Upload-Metadata"
	hConcat    = "Upload-Concat"
	hChecksum  = "Upload-Checksum"
	hExpires   = "Upload-Expires"
)

type handler struct {
	Config
	locks locks
}

// Mount adds the protocol's routes to a router of package httpedge.
func Mount(e *echo.Echo, c Config) {
	if c.MaxSize == 0 {
		c.MaxSize = store.MaxFileBytes
	}
	if c.PartSize == 0 {
		c.PartSize = 64 << 20
	}
	h := &handler{Config: c}
	for _, path := range []string{Base, Base + "/", Base + "/:id"} {
		e.OPTIONS(path, h.withProtocolHeaders(h.options))
	}
	for _, path := range []string{Base, Base + "/"} {
		e.POST(path, h.withProtocolHeaders(h.create))
	}
	one := Base + "/:id"
	e.HEAD(one, h.withProtocolHeaders(h.head))
	e.PATCH(one, h.withProtocolHeaders(h.patch))
	e.DELETE(one, h.withProtocolHeaders(h.remove))
	// For clients behind proxies that do not support PATCH.
	e.POST(one, h.withProtocolHeaders(func(ec echo.Context) error {
		switch ec.Request().Header.Get("X-HTTP-Method-Override") {
		case http.MethodPatch:
			return h.patch(ec)
		case http.MethodDelete:
			return h.remove(ec)
		}
		return httpedge.WithStatus(http.StatusMethodNotAllowed, store.Errorf(store.Invalid, "PATCH appends to an upload, POST does not").WithHint(hintSpec))
	}))
}

// Surface tells the edge which requests are of the protocol; see httpedge.OpenSurface.
type Surface struct{}

// Serves implements httpedge.OpenSurface.
func (Surface) Serves(path string) bool { return path == Base || strings.HasPrefix(path, Base+"/") }

// Preflighted implements httpedge.OpenSurface: a browser sends the protocol's own header
// only after a preflight.
func (Surface) Preflighted(r *http.Request) bool { return r.Header.Get(hResumable) != "" }

// withProtocolHeaders refuses requests without Tus-Resumable. No request of the protocol
// is served without it, because it makes a browser send a preflight.
func (h *handler) withProtocolHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if got := c.Request().Header.Get(hResumable); got != version && c.Request().Method != http.MethodOptions {
			c.Response().Header().Set(hVersion, version)
			return httpedge.WithStatus(http.StatusPreconditionFailed,
				store.Errorf(store.Invalid, "Tus-Resumable is %.16q; this server supports %s", got, version).WithHint(hintSpec))
		}
		return next(c)
	}
}

// SetCommonHeaders implements httpedge.OpenSurface. Pages of any origin may read the response. That discloses nothing: a
// page needs an access key, and browsers send no remembered one to an origin of "*".
func (Surface) SetCommonHeaders(out http.Header, r *http.Request) {
	out.Set(hResumable, version)
	out.Set("Cache-Control", "no-store")
	if r.Header.Get(echo.HeaderOrigin) == "" {
		return
	}
	out.Set(echo.HeaderAccessControlAllowOrigin, "*")
	out.Set(echo.HeaderAccessControlExposeHeaders, strings.Join([]string{
		echo.HeaderLocation, hResumable, hVersion, hExtension, hMaxSize, hAlgorithm, hOffset, hLength, hDefer, hMetadata, hConcat, hExpires,
		echo.HeaderXRequestID, "Retry-After", echo.HeaderWWWAuthenticate,
	}, ", "))
}

// options lists what this server supports. It needs no key, because a preflight carries none.
func (h *handler) options(c echo.Context) error {
	out := c.Response().Header()
	out.Set(hVersion, version)
	out.Set(hExtension, extensions)
	out.Set(hMaxSize, strconv.FormatInt(h.MaxSize, 10))
	out.Set(hAlgorithm, algorithmNames())
	if c.Request().Header.Get(echo.HeaderOrigin) != "" {
		out.Set(echo.HeaderAccessControlAllowMethods, "POST, HEAD, PATCH, DELETE, OPTIONS")
		out.Set(echo.HeaderAccessControlAllowHeaders, strings.Join([]string{
			echo.HeaderAuthorization, echo.HeaderContentType, "X-HTTP-Method-Override", echo.HeaderXRequestID, echo.HeaderXRequestedWith,
			hResumable, hOffset, hLength, hDefer, hMetadata, hConcat, hChecksum,
		}, ", "))
		out.Set(echo.HeaderAccessControlMaxAge, "86400")
	}
	return c.NoContent(http.StatusNoContent)
}

// bad is the error for a header that is missing or wrong.
func bad(format string, args ...any) error {
	return store.Errorf(store.Invalid, format, args...).WithHint(hintSpec)
}

// count reads a header that holds a number of bytes; absent is -1. Invalid.
func count(c echo.Context, name string) (int64, error) {
	text := c.Request().Header.Get(name)
	if text == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strings.HasPrefix(text, "+") {
		return 0, bad("%s is %.32q, which is not a number of bytes", name, text)
	}
	return n, nil
}
