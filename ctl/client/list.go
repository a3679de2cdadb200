package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
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

// maxEmpty is how many consecutive empty pages are accepted before a listing is refused.
const maxEmpty = 3

// List yields the entries in byte order of their names, each once, and requests pages as they are needed. An error ends it.
// A listing in another order, with names outside the query, or without an end is refused as Internal, because callers
// conclude from a missing name that the object does not exist. NotFound (bucket), Internal.
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if q.PageSize == 0 {
			q.PageSize = 1000
		}
		p := pager{c: c}
		last := ""
		for {
			page, err := c.page(ctx, q, p.after)
			if errors.Is(err, errTooLong) && q.PageSize > 1 {
				q.PageSize = max(q.PageSize/8, 1) // JSON escapes can make names several times longer
				continue
			}
			if err != nil {
				yield(Entry{}, inBucket(q.Bucket, err))
				return
			}
			entries := 0
			for e := range merged(page) {
				entries++
				if !strings.HasPrefix(e.Name, q.Prefix) || e.Name <= last {
					yield(Entry{}, c.badListing("%q after %q, under the prefix %q", e.Name, last, q.Prefix))
					return
				}
				last = e.Name
				if !yield(e, nil) {
					return
				}
			}
			more, err := p.next(page.HasMore, page.Next, entries)
			if err != nil {
				yield(Entry{}, err)
			}
			if !more {
				return
			}
		}
	}
}

// pager follows the pages of a listing and detects one that never ends.
type pager struct {
	c     *Client
	after string // where the next page begins
	empty int    // pages in a row
}

// next records a page with so many entries and reports whether there is another. It is an error if the next cursor does not
// advance, or if too many pages are empty.
func (p *pager) next(more bool, next string, entries int) (bool, error) {
	if !more {
		return false, nil
	}
	if next <= p.after {
		return false, p.c.badListing("the page after %q begins at %q", p.after, next)
	}
	if p.empty++; entries > 0 {
		p.empty = 0
	}
	if p.empty == maxEmpty {
		return false, p.c.badListing("%d empty pages in a row", maxEmpty)
	}
	p.after = next
	return true, nil
}

// badListing is the error of an inconsistent listing, from which nothing may be concluded.
func (c *Client) badListing(format string, args ...any) error {
	e := fault.New(problem.Internal, format, args...).WithHint("%s", noGateway)
	e.Msg = c.base + " returned an inconsistent listing: " + e.Msg
	return e
}

func (c *Client) page(ctx context.Context, q Query, after string) (page rest.FileList, err error) {
	values := url.Values{"bucket": {q.Bucket}, "sort": {string(rest.SortByName)}, "per_page": {strconv.Itoa(q.PageSize)}}
	for name, value := range map[string]string{"prefix": q.Prefix, "delimiter": q.Delimiter, "after": after} {
		if value != "" {
			values.Set(name, value)
		}
	}
	err = c.call(ctx, http.MethodGet, "/files", values, nil, &page)
	return page, err
}

// merged merges a page's files and prefixes, each sorted, into one sorted sequence.
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
