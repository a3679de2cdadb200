package restapi

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

const defaultPerPage = 100

// ListFiles implements GET /files, by time or by name.
func (a *api) ListFiles(c echo.Context, p rest.ListFilesParams) error {
	given := c.QueryParams()
	if err := checkListing(given, &p); err != nil {
		return err
	}
	if byName(given, p) {
		return a.listByName(c, given, p)
	}
	return a.listByTime(c, given, p)
}

// checkListing checks what both listings share and sets the default page size.
func checkListing(given url.Values, p *rest.ListFilesParams) error {
	if p.Sort != "" && !p.Sort.Valid() {
		return store.Errorf(store.Invalid, "sort %.32q is not one of created_at, -created_at, name", string(p.Sort)).
			WithHint("Leave sort out for the newest first.")
	}
	return checkPerPage(given, &p.PerPage)
}

// checkPerPage checks the size of a page and sets the default.
func checkPerPage(given url.Values, n *int) error {
	if !given.Has("per_page") {
		*n = defaultPerPage
	}
	if *n < 1 || *n > store.MaxListLimit {
		return store.Errorf(store.Invalid, "per_page %d is not within 1..%d", *n, store.MaxListLimit).WithHint("Ask for fewer entries, and for more pages.")
	}
	return nil
}

// byName reports whether the listing is by name: the sort requests it, or a parameter
// that has a meaning only by name is given and no sort by time.
func byName(given url.Values, p rest.ListFilesParams) bool {
	if p.Sort == rest.SortByName || given.Has("delimiter") || given.Has("after") {
		return true
	}
	return given.Has("prefix") && p.Sort == ""
}

func (a *api) listByName(c echo.Context, given url.Values, p rest.ListFilesParams) error {
	for _, name := range []string{"page", "cursor", "status", "name"} {
		if given.Has(name) {
			return store.Errorf(store.Invalid, "%s has no meaning in a listing by name", name).
				WithHint("Leave %s out, or list by time: without delimiter and after, and with sort=created_at or sort=-created_at.", name)
		}
	}
	if p.Sort != "" && p.Sort != rest.SortByName {
		return store.Errorf(store.Invalid, "delimiter and after have no meaning in a listing by time").WithHint("Leave out sort, or delimiter and after.")
	}
	if p.Bucket == "" {
		return store.Errorf(store.Invalid, "a listing by name needs the bucket").WithHint("Add ?bucket= to the address; GET /buckets lists them.")
	}
	page, err := a.cfg.Engine.ListObjects(c.Request().Context(), store.ObjectQuery{
		Bucket: store.BucketName(p.Bucket), Prefix: p.Prefix, Delimiter: p.Delimiter, After: p.After, Limit: p.PerPage,
	})
	if err != nil {
		return err
	}
	out := rest.FileList{Files: make([]rest.File, 0, len(page.Entries)), Prefixes: []string{}, PerPage: p.PerPage, HasMore: page.More}
	if page.More {
		out.Next = page.Next
	}
	for _, e := range page.Entries {
		if e.File == nil {
			out.Prefixes = append(out.Prefixes, e.Name)
		} else {
			out.Files = append(out.Files, fileOf(*e.File))
		}
	}
	return httpedge.WriteJSON(c, http.StatusOK, out)
}

func (a *api) listByTime(c echo.Context, given url.Values, p rest.ListFilesParams) error {
	q, err := timeQuery(given, &p)
	if err != nil {
		return err
	}
	page, err := a.cfg.Engine.ListFiles(c.Request().Context(), q)
	if err != nil {
		return err
	}
	out := rest.FileList{Files: make([]rest.File, 0, len(page.Files)), Prefixes: []string{}, Page: p.Page, PerPage: p.PerPage, HasMore: page.More}
	for _, f := range page.Files {
		out.Files = append(out.Files, fileOf(f))
	}
	if page.More {
		out.Next = cursorText(page.Next)
	}
	return httpedge.WriteJSON(c, http.StatusOK, out)
}

func timeQuery(given url.Values, p *rest.ListFilesParams) (q store.FileQuery, err error) {
	q = store.FileQuery{
		Bucket: store.BucketName(p.Bucket), Key: store.Key(p.Name), Prefix: p.Prefix,
		Descending: p.Sort != rest.SortOldestFirst, Limit: p.PerPage,
	}
	if given.Has("cursor") {
		if given.Has("page") {
			return q, store.Errorf(store.Invalid, "page and cursor exclude each other").WithHint("Leave page out: the cursor says where the page begins.")
		}
		q.After, err = parseCursor(p.Cursor)
	} else {
		q.Offset, err = offsetOf(given, p)
	}
	if err != nil {
		return q, err
	}
	if given.Has("status") {
		if q.State, err = store.ParseFileState(string(p.Status)); err != nil {
			return q, err
		}
	}
	if given.Has("name") {
		err = q.Key.Validate()
	}
	return q, err
}

// offsetOf returns how many entries come before a page, and sets the first page as the default. Invalid.
func offsetOf(given url.Values, p *rest.ListFilesParams) (int, error) {
	if !given.Has("page") {
		p.Page = 1
	}
	switch offset := (p.Page - 1) * p.PerPage; {
	case p.Page < 1:
		return 0, store.Errorf(store.Invalid, "page %d: pages count from 1", p.Page)
	case p.Page > store.MaxOffset || offset >= store.MaxOffset:
		return 0, store.Errorf(store.Invalid, "page %d of %d entries begins after the first %d, which are all that page numbers reach", p.Page, p.PerPage, store.MaxOffset).
			WithHint("Pass `next` of the page before as cursor; every page that another one follows has it.")
	default:
		return offset, nil
	}
}
