package restapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// CreateSession implements POST /sessions.
func (a *api) CreateSession(c echo.Context) error {
	var in rest.NewSession
	if err := readJSON(c, &in); err != nil {
		return err
	}
	r, err := newSession(in)
	if err != nil {
		return err
	}
	r.Caller = httpedge.Caller(c).AccessKey
	s, err := a.cfg.Engine.CreateSession(c.Request().Context(), r)
	if err != nil {
		return err
	}
	httpedge.SetLocation(c, "/sessions/"+s.ID.String())
	return httpedge.WriteJSON(c, http.StatusCreated, sessionOf(s))
}

// newSession checks what the engine does not, and sets defaults. Invalid.
func newSession(in rest.NewSession) (r engine.SessionRequest, err error) {
	r = engine.SessionRequest{Bucket: store.BucketName(in.Bucket), Key: store.Key(in.Name), ContentType: in.ContentType, Meta: in.Meta}
	if r.Bucket == "" {
		r.Bucket = store.DefaultBucket
	}
	if r.ContentType == "" {
		r.ContentType = octetStream
	}
	if err := httpedge.CheckContentType("content_type", r.ContentType); err != nil {
		return r, err
	}
	if err := checkMeta(in.Meta); err != nil {
		return r, err
	}
	if r.Size, err = sizeOf(in.Size); err != nil {
		return r, err
	}
	r.CRC64, err = httpedge.DecodeCRC("crc64nvme", in.Checksums.CRC64NVME)
	return r, err
}

// sizeOf returns a size, or -1 if it is absent. Invalid.
func sizeOf(size *int64) (int64, error) {
	if size == nil {
		return -1, nil
	}
	if *size < 0 {
		return 0, store.Errorf(store.Invalid, "size %d is negative", *size).WithHint("Leave the size out while it is not known.")
	}
	return *size, nil
}

// ListSessions implements GET /sessions.
func (a *api) ListSessions(c echo.Context, p rest.ListSessionsParams) error {
	q, err := sessionQuery(c, p)
	if err != nil {
		return err
	}
	page, err := a.cfg.Engine.ListSessions(c.Request().Context(), q)
	if err != nil {
		return err
	}
	out := rest.SessionList{Sessions: make([]rest.Session, 0, len(page.Sessions)), HasMore: page.More}
	for _, s := range page.Sessions {
		out.Sessions = append(out.Sessions, sessionOf(s))
	}
	if n := len(page.Sessions); page.More && n > 0 {
		out.Next = page.Sessions[n-1].ID.String()
	}
	return httpedge.WriteJSON(c, http.StatusOK, out)
}

func sessionQuery(c echo.Context, p rest.ListSessionsParams) (q store.SessionQuery, err error) {
	if err := checkPerPage(c.QueryParams(), &p.PerPage); err != nil {
		return q, err
	}
	q = store.SessionQuery{Bucket: store.BucketName(p.Bucket), Prefix: p.Prefix, Limit: p.PerPage}
	if p.After == "" {
		return q, nil
	}
	if q.After, err = store.ParseFileID(p.After); err != nil {
		return q, store.Errorf(store.Invalid, "after %.64q is not a session id", p.After).WithHint("Pass `next` of the page before, or leave it out.")
	}
	return q, nil
}

// GetSession implements GET /sessions/{session_id}.
func (a *api) GetSession(c echo.Context, text rest.SessionID) error {
	id, err := sessionID(text)
	if err != nil {
		return err
	}
	s, err := a.cfg.Engine.Session(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return httpedge.WriteJSON(c, http.StatusOK, sessionOf(s))
}

// AbortSession implements DELETE /sessions/{session_id}.
func (a *api) AbortSession(c echo.Context, text rest.SessionID) error {
	id, err := sessionID(text)
	if err != nil {
		return err
	}
	if err := a.cfg.Engine.AbortSession(c.Request().Context(), store.SessionChange{Session: id, Caller: httpedge.Caller(c).AccessKey}); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// sessionID parses an id in a path. A malformed id is NotFound.
func sessionID(text string) (store.FileID, error) {
	id, err := store.ParseFileID(text)
	if err != nil {
		return id, store.Errorf(store.NotFound, "%v", err).WithHint("Session ids are UUIDs; GET /sessions lists them, POST /sessions creates one.")
	}
	return id, nil
}
