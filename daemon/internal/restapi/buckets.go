package restapi

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// ListBuckets implements GET /buckets.
func (a *api) ListBuckets(c echo.Context) error {
	all, err := a.cfg.Engine.ListBuckets(c.Request().Context())
	if err != nil {
		return err
	}
	usages, err := a.cfg.Engine.Usages(c.Request().Context())
	if err != nil {
		return err
	}
	out := rest.BucketList{Buckets: make([]rest.Bucket, 0, len(all))}
	for _, b := range all {
		out.Buckets = append(out.Buckets, bucketOf(b, usages[b.Name]))
	}
	return httpedge.WriteJSON(c, http.StatusOK, out)
}

// CreateBucket implements POST /buckets.
func (a *api) CreateBucket(c echo.Context) error {
	var in rest.NewBucket
	if err := readJSON(c, &in); err != nil {
		return err
	}
	b := store.Bucket{Name: store.BucketName(in.Name), Survive: store.SurviveDefault}
	if in.Survive != nil {
		if err := checkSurvive(*in.Survive); err != nil {
			return err
		}
		b.Survive = *in.Survive
	}
	if err := a.cfg.Engine.CreateBucket(c.Request().Context(), b, httpedge.Caller(c).AccessKey); err != nil {
		return err
	}
	httpedge.SetLocation(c, "/buckets/"+url.PathEscape(in.Name))
	return a.showBucket(c, http.StatusCreated, b.Name)
}

// GetBucket implements GET /buckets/{bucket}.
func (a *api) GetBucket(c echo.Context, name string) error {
	return a.showBucket(c, http.StatusOK, store.BucketName(name))
}

// UpdateBucket implements PATCH /buckets/{bucket}: an absent member keeps its value, null sets the cluster's default.
func (a *api) UpdateBucket(c echo.Context, name string) error {
	var in struct {
		Survive json.RawMessage `json:"survive"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	b, err := a.cfg.Engine.Bucket(c.Request().Context(), store.BucketName(name))
	if err != nil {
		return err
	}
	if in.Survive != nil {
		if b.Survive, err = parseSurvive(in.Survive); err != nil {
			return err
		}
		if err := a.cfg.Engine.UpdateBucket(c.Request().Context(), b, httpedge.Caller(c).AccessKey); err != nil {
			return err
		}
	}
	return a.writeBucket(c, http.StatusOK, b)
}

// DeleteBucket implements DELETE /buckets/{bucket}.
func (a *api) DeleteBucket(c echo.Context, name string) error {
	if err := a.cfg.Engine.DeleteBucket(c.Request().Context(), store.BucketName(name), httpedge.Caller(c).AccessKey); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// showBucket writes the bucket as it is stored.
func (a *api) showBucket(c echo.Context, status int, name store.BucketName) error {
	b, err := a.cfg.Engine.Bucket(c.Request().Context(), name)
	if err != nil {
		return err
	}
	return a.writeBucket(c, status, b)
}

// writeBucket writes the bucket with its usage.
func (a *api) writeBucket(c echo.Context, status int, b store.Bucket) error {
	u, err := a.cfg.Engine.Usage(c.Request().Context(), b.Name)
	if err != nil {
		return err
	}
	return httpedge.WriteJSON(c, status, bucketOf(b, u))
}

func parseSurvive(raw json.RawMessage) (int, error) {
	if string(raw) == "null" {
		return store.SurviveDefault, nil
	}
	var n int
	if err := json.Unmarshal(raw, &n); err != nil {
		return 0, store.Errorf(store.Invalid, "survive %.32s is not a whole number", raw).WithHint("Send the number of node failures, or null for the cluster's default.")
	}
	return n, checkSurvive(n)
}

// checkSurvive refuses store.SurviveDefault, which has a meaning inside the gateway only.
func checkSurvive(n int) error {
	if n < 0 || n > store.MaxSurvive {
		return store.Errorf(store.Invalid, "survive %d is not within 0..%d", n, store.MaxSurvive).
			WithHint("Send the number of node failures that the bucket's data must survive, or leave it out for the cluster's default.")
	}
	return nil
}
