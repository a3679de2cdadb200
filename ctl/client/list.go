package client

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Entry is one entry of a listing: an object, or a common prefix (File is nil).
type Entry struct {
	Name string
	File *rest.File
}

// Query selects the entries of a listing.
type Query struct {
	Bucket    string
	Prefix    string // only names that begin with it
	Delimiter string // group names by their part up to its first occurrence after Prefix; "": no grouping
	PageSize  int    // entries per request, 1..1000; 0: 1000
}

// Lister looks up names; *Client implements it and documents the methods.
type Lister interface {
	List(ctx context.Context, q Query) iter.Seq2[Entry, error]
	Latest(ctx context.Context, bucket, name string) (rest.File, error)
}

// maxEmpty is how many consecutive empty pages are accepted before a listing is refused.
const maxEmpty = 3

// List yields the entries in byte order of their names, each once, and requests pages as they are needed. An error ends it.
// A listing in another order, with names outside the query, or without an end is refused as Internal, because callers
// conclude from a missing name that the object does not exist. NotFound (bucket), Internal.
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		q, last := q, ""
		q.PageSize = cmp.Or(q.PageSize, 1000)
		pages(c, func(after string) (entries []Entry, more bool, next string, err error) {
			page, err := c.page(ctx, &q, after)
			if err != nil {
				return nil, false, "", inBucket(q.Bucket, err)
			}
			entries = merged(page)
			for i, e := range entries {
				if !strings.HasPrefix(e.Name, q.Prefix) || e.Name <= last {
					return entries[:i], false, "", c.badListing("%q after %q, under the prefix %q", e.Name, last, q.Prefix)
				}
				last = e.Name
			}
			return entries, page.HasMore, page.Next, nil
		})(yield)
	}
}

// page requests one page, again with fewer entries if it is too long: JSON escapes can make names several times longer.
func (c *Client) page(ctx context.Context, q *Query, after string) (page rest.FileList, err error) {
	for {
		values := query("bucket", q.Bucket, "sort", string(rest.SortByName), "per_page", strconv.Itoa(q.PageSize),
			"prefix", q.Prefix, "delimiter", q.Delimiter, "after", after)
		err = c.call(ctx, http.MethodGet, "/files?"+values, nil, &page)
		if !errors.Is(err, errTooLong) || q.PageSize == 1 {
			return page, err
		}
		q.PageSize = max(q.PageSize/8, 1)
	}
}

// pages yields the entries of a listing that fetch returns page by page, with the cursor of the next one, until an error. A
// listing without an end is Internal: the cursor must advance, and not too many pages may be empty.
func pages[E any](c *Client, fetch func(after string) (entries []E, more bool, next string, err error)) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		after, empty := "", 0
		for more := true; more; {
			entries, hasMore, next, err := fetch(after)
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if empty++; len(entries) > 0 {
				empty = 0
			}
			switch {
			case err != nil:
			case hasMore && next <= after:
				err = c.badListing("the page after %q begins at %q", after, next)
			case hasMore && empty == maxEmpty:
				err = c.badListing("%d empty pages in a row", maxEmpty)
			}
			if err != nil {
				var none E
				yield(none, err)
				return
			}
			after, more = next, hasMore
		}
	}
}

// badListing is the error of an inconsistent listing, from which nothing may be concluded.
func (c *Client) badListing(format string, args ...any) error {
	e := fault.New(problem.Internal, format, args...).WithHint("%s", noGateway)
	e.Msg = c.base + " returned an inconsistent listing: " + e.Msg
	return e
}

// merged merges a page's files and prefixes, each sorted, into one sorted list.
func merged(page rest.FileList) (entries []Entry) {
	files, prefixes := page.Files, page.Prefixes
	for len(files) > 0 || len(prefixes) > 0 {
		if len(prefixes) == 0 || len(files) > 0 && files[0].Name < prefixes[0] {
			entries, files = append(entries, Entry{Name: files[0].Name, File: &files[0]}), files[1:]
		} else {
			entries, prefixes = append(entries, Entry{Name: prefixes[0]}), prefixes[1:]
		}
	}
	return entries
}
