package restapi

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// cursorText returns a cursor in the form in which clients pass it back: base64 of the time in
// microseconds and the id. Clients do not read it.
func cursorText(c store.FileCursor) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(c.CreatedAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(raw, c.ID[:]...))
}

// parseCursor reads what cursorText returned. Invalid.
func parseCursor(text string) (c store.FileCursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != 8+len(c.ID) {
		return c, store.Errorf(store.Invalid, "cursor %.64q is not one of a listing by time", text).WithHint("Pass `next` of the previous page, or leave it out.")
	}
	c.CreatedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(raw))).UTC()
	copy(c.ID[:], raw[8:])
	return c, nil
}
