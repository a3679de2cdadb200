package restapi

import (
	"cmp"
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
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
	return httpedge.WriteJSON(c, http.StatusOK, metadataOf(d))
}

// DeleteFile implements DELETE /files/{file_id}.
func (a *api) DeleteFile(c echo.Context, text rest.FileID) error {
	id, err := fileID(text)
	if err != nil {
		return err
	}
	change, err := changeOf(c)
	if err != nil {
		return err
	}
	if err := a.cfg.Engine.Delete(c.Request().Context(), id, change); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// DeleteByName implements DELETE /files/by-name.
func (a *api) DeleteByName(c echo.Context, p rest.DeleteByNameParams) error {
	change, err := changeOf(c)
	if err != nil {
		return err
	}
	bucket := cmp.Or(store.BucketName(p.Bucket), store.DefaultBucket)
	if err := a.cfg.Engine.DeleteLatest(c.Request().Context(), bucket, store.Key(p.Name), change); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// CopyFile implements POST /files/{file_id}/copy.
func (a *api) CopyFile(c echo.Context, text rest.FileID) error {
	to, err := a.target(c, text)
	if err != nil {
		return err
	}
	f, err := a.cfg.Engine.Copy(c.Request().Context(), to.file, to.bucket, to.key, to.change)
	if err != nil {
		return err
	}
	return stored(c, http.StatusCreated, f)
}

// RenameFile implements POST /files/{file_id}/rename.
func (a *api) RenameFile(c echo.Context, text rest.FileID) error {
	to, err := a.target(c, text)
	if err != nil {
		return err
	}
	f, err := a.cfg.Engine.Rename(c.Request().Context(), to.file, to.bucket, to.key, to.change)
	if err != nil {
		return err
	}
	return httpedge.WriteJSON(c, http.StatusOK, fileOf(f))
}

// target is a file and the bucket and key that it is copied or renamed to.
type target struct {
	file   store.FileID
	bucket store.BucketName
	key    store.Key
	change store.Change // its condition is on the target's key
}

func (a *api) target(c echo.Context, text string) (to target, err error) {
	var in rest.Target
	if to.file, err = fileID(text); err != nil {
		return to, err
	}
	if to.change, err = changeOf(c); err != nil {
		return to, err
	}
	if err := readJSON(c, &in); err != nil {
		return to, err
	}
	to.bucket, to.key = store.BucketName(in.Bucket), store.Key(in.Name)
	if to.bucket == "" {
		to.bucket, err = a.bucketOfFile(c.Request().Context(), to.file)
	}
	return to, err
}

func (a *api) bucketOfFile(ctx context.Context, id store.FileID) (store.BucketName, error) {
	o, err := a.cfg.Engine.Open(ctx, id)
	if err != nil {
		return "", err
	}
	return o.File().Bucket, nil
}
