package restapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Limits of a JSON body in bytes. The largest document lists all parts of a file, each with its checksum.
const (
	maxDocument = 64 << 10
	maxPartList = 1 << 20
)

// readJSON reads the body as exactly one document without unknown members.
func readJSON(c echo.Context, into any) error { return readLongJSON(c, into, maxDocument) }

func readLongJSON(c echo.Context, into any, most int64) error {
	const hint = "GET /openapi.json describes the document."
	r := c.Request()
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || mediaType != echo.MIMEApplicationJSON {
		return store.Errorf(store.Invalid, "the Content-Type is not %s", echo.MIMEApplicationJSON).WithHint("Send a JSON document with this Content-Type.")
	}
	body := http.MaxBytesReader(c.Response().Writer, io.NopCloser(httpedge.Body(c)), most)
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("there is data after the document")
	}
	var long *http.MaxBytesError
	var known *store.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &long):
		return store.Errorf(store.TooLarge, "the document is larger than %d bytes", most).WithLimit("document_size", 0).WithHint(hint)
	}
	return store.Errorf(store.Invalid, "the JSON document cannot be read: %w", err).WithHint(hint)
}
