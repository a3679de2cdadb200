package restapi

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// minPartSize is the smallest size of all parts of a file but the last, in bytes: each
// part costs rows, and a look-up in every read that covers it.
const minPartSize = 1 << 20

// CompleteSession implements POST /sessions/{session_id}/complete.
func (a *api) CompleteSession(c echo.Context, text rest.SessionID) error {
	id, err := sessionID(text)
	if err != nil {
		return err
	}
	var in rest.CompleteSession
	if c.Request().ContentLength != 0 {
		if err := readLongJSON(c, &in, maxPartList); err != nil {
			return err
		}
	}
	r, err := completion(id, in)
	if err != nil {
		return err
	}
	if r.Change, err = changeOf(c); err != nil {
		return err
	}
	f, err := a.cfg.Engine.CompleteSession(c.Request().Context(), r)
	if err != nil && store.KindOf(err) == store.Corrupt {
		return httpedge.WithStatus(http.StatusBadRequest, err) // the client's parts differ from its checksums; no stored data is damaged
	}
	if err != nil {
		return err
	}
	return stored(c, http.StatusOK, f)
}

// completion reads the size, checksum and parts that the file must have. Invalid.
func completion(id store.FileID, in rest.CompleteSession) (r engine.CompleteRequest, err error) {
	r = engine.CompleteRequest{Session: id, MinPartSize: minPartSize}
	if r.Size, err = sizeOf(in.Size); err != nil {
		return r, err
	}
	if r.CRC64, err = httpedge.DecodeCRC("crc64nvme", in.Checksums.CRC64NVME); err != nil || in.Parts == nil {
		return r, err
	}
	r.Parts = make([]engine.PartRef, len(in.Parts))
	for i, p := range in.Parts {
		if err := store.ValidPartNumber(p.Number); err != nil {
			return r, err
		}
		r.Parts[i].Number = p.Number
		if r.Parts[i].CRC64, err = httpedge.DecodeCRC(fmt.Sprintf("crc64nvme of part %d", p.Number), p.CRC64NVME); err != nil {
			return r, err
		}
	}
	return r, nil
}
