package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ringstore/ringstore/proto/rest"
)

// Entry is one line of a listing: an object, or a common prefix (then File is nil).
type Entry struct {
	Name string
	File *rest.File
}

// Query asks for what a bucket shows.
type Query struct {
	Bucket    string
	Prefix    string // only names that begin with it
	Delimiter string // group names by what stands up to its first occurrence after Prefix; "" groups nothing
	PageSize  int    // entries per request, 1..1000; 0: 1000
}

// List gives the entries in byte order of their names, fetching page after page
// as they are asked for. An error ends it. NotFound (bucket).
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		after := ""
		for {
			page, err := c.page(ctx, q, after)
			if err != nil {
				yield(Entry{}, inBucket(q.Bucket, err))
				return
			}
			for e := range merged(page) {
				if !yield(e, nil) {
					return
				}
			}
			// A server that says "more" without saying where would have us ask for ever.
			if !page.HasMore || page.Next <= after {
				return
			}
			after = page.Next
		}
	}
}

func (c *Client) page(ctx context.Context, q Query, after string) (page rest.FileList, err error) {
	size := q.PageSize
	if size == 0 {
		size = 1000
	}
	values := url.Values{"bucket": {q.Bucket}, "sort": {string(rest.SortByName)}, "per_page": {strconv.Itoa(size)}}
	for name, value := range map[string]string{"prefix": q.Prefix, "delimiter": q.Delimiter, "after": after} {
		if value != "" {
			values.Set(name, value)
		}
	}
	err = c.call(ctx, http.MethodGet, "/files", values, nil, &page)
	return page, err
}

// merged brings a page's files and prefixes, each sorted, into one order.
func merged(page rest.FileList) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		files, prefixes := page.Files, page.Prefixes
		for len(files) > 0 || len(prefixes) > 0 {
			var e Entry
			if len(prefixes) == 0 || len(files) > 0 && files[0].Name < prefixes[0] {
				e, files = Entry{Name: files[0].Name, File: &files[0]}, files[1:]
			} else {
				e, prefixes = Entry{Name: prefixes[0]}, prefixes[1:]
			}
			if !yield(e) {
				return
			}
		}
	}
}
