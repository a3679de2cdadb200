package restapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// PutPart implements PUT /sessions/{session_id}/parts/{number}. The engine refuses a
// part whose Content-Length is over the limit before it reads the first byte.
func (a *api) PutPart(c echo.Context, text rest.SessionID, number int, p rest.PutPartParams) error {
	id, err := sessionID(text)
	if err != nil {
		return err
	}
	// First, so that an invalid number is not reported as a missing session.
	if err := store.ValidPartNumber(number); err != nil {
		return err
	}
	put := a.receivePart
	if c.QueryParams().Has("source") {
		put = a.copyPart
	}
	part, err := put(c, id, number, p)
	if err != nil {
		return err
	}
	return httpedge.WriteJSON(c, http.StatusOK, sessionPartOf(part))
}

// receivePart stores the body as the part, whatever its Content-Type.
func (a *api) receivePart(c echo.Context, id store.FileID, number int, p rest.PutPartParams) (part store.SessionPart, err error) {
	given := c.QueryParams()
	if given.Has("offset") || given.Has("length") {
		return part, store.Errorf(store.Invalid, "offset and length have no meaning without source").WithHint("Add ?source= with the id of a file, or leave them out.")
	}
	r := c.Request()
	want, err := httpedge.ExpectPart(c)
	if err != nil {
		return part, err
	}
	return a.cfg.Engine.PutPart(r.Context(), engine.PartRequest{
		Session: id, Number: number, Size: r.ContentLength, Verify: func(s engine.Sums) error { return want.Verify(s.CRC64, s.SHA256) }, Body: httpedge.Body(c),
		Caller: httpedge.Caller(c).AccessKey, Interrupt: httpedge.Interrupter(c),
	})
}

// copyPart stores bytes of a stored file as the part.
func (a *api) copyPart(c echo.Context, id store.FileID, number int, p rest.PutPartParams) (part store.SessionPart, err error) {
	r := c.Request()
	if r.ContentLength != 0 {
		return part, store.Errorf(store.Invalid, "the request has both a source and a body").WithHint("Leave one of them out.")
	}
	if p.XChecksumCrc64Nvme != "" {
		return part, store.Errorf(store.Invalid, "%s is not compared with bytes that are copied", httpedge.HeaderCRC64).
			WithHint("Leave it out, and compare the answer's checksum with your own.")
	}
	source, err := fileID(p.Source)
	if err != nil {
		return part, err
	}
	length := int64(-1)
	if p.Length != nil {
		length = max(*p.Length, 0) // an explicit length never means "to the end"
	}
	if p.Offset < 0 || length == 0 {
		return part, store.Errorf(store.Invalid, "offset or length is too small").
			WithHint("Offsets begin at 0, lengths at 1; without a length all to the source's end is taken.")
	}
	return a.cfg.Engine.CopyPart(r.Context(), engine.CopyPartRequest{
		Session: id, Number: number, Source: source, Offset: p.Offset, Length: length, Caller: httpedge.Caller(c).AccessKey,
	})
}
