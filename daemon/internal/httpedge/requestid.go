package httpedge

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// requestIDs generates ids that are unique among processes and requests, without
// a system call for randomness each time.
type requestIDs struct {
	process string
	count   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	var b [5]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return requestIDs{process: hex.EncodeToString(b[:]) + "-", count: &atomic.Uint64{}}
}

// of returns the id that a proxy or client sent, if it is valid, or a new one.
func (r requestIDs) of(req *http.Request) string {
	if given := req.Header.Get(headerRequestID); telemetry.ValidRequest(given) {
		return given
	}
	return r.process + strconv.FormatUint(r.count.Add(1), 10)
}
