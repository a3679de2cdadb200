package restapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/proto/rest"
)

// GetFileMetadata implements GET /files/{file_id}/metadata.
func (a *api) GetFileMetadata(c echo.Context, text rest.FileID) error {
	id, err := fileID(text)
	if err != nil {
		return err
	}
	d, err := a.cfg.Engine.Describe(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, metadataOf(d))
}

// DeleteFile implements DELETE /files/{file_id}.
func (a *api) DeleteFile(c echo.Context, text rest.FileID) error {
	id, err := fileID(text)
	if err != nil {
		return err
	}
	if err := a.cfg.Engine.Delete(c.Request().Context(), id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
