// Package listing computes, for every SQL engine alike, which range of an index answers a
// listing by prefix and delimiter, and where to continue
// after a common prefix, so that the keys below it are skipped and not read.
package listing

import (
	"bytes"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// afterAllKeys is above every key: no byte of valid UTF-8 is 0xFF.
var afterAllKeys = []byte{0xff}

// Range returns from and to with from <= key < to for exactly the keys that the
// query selects, before they are grouped by common prefix.
func Range(q store.ObjectQuery) (from, to []byte) {
	from, to = PrefixRange(q.Prefix)
	if q.After != "" {
		from = larger(from, firstAfter(q))
	}
	return from, to
}

// PrefixRange returns from and to with from <= key < to for exactly the keys that begin with prefix.
func PrefixRange(prefix string) (from, to []byte) {
	if to = Successor([]byte(prefix)); to == nil {
		to = afterAllKeys
	}
	return []byte(prefix), to
}

// SessionKeyRange returns what a listing of sessions by key selects, in the order of key, then id: those after a key and an
// id, with keys below to. It is one range, so that the index is read from where the page begins.
func SessionKeyRange(q store.SessionKeyQuery) (after []byte, id store.FileID, to []byte) {
	from, to := PrefixRange(q.Prefix)
	switch {
	case q.After.Key < q.Prefix:
		return from, id, to // no session has the zero id
	case q.After.ID.IsZero() && q.After.Key != "":
		for i := range id {
			id[i] = 0xff
		}
		return []byte(q.After.Key), id, to
	}
	return []byte(q.After.Key), q.After.ID, to
}

// KeyRange returns the range of keys that a listing by time selects, as PrefixRange does; nil where it selects
// all keys. some is false when no key matches.
func KeyRange(q store.FileQuery) (from, to []byte, some bool) {
	switch {
	case q.Key != "":
		return []byte(q.Key), append([]byte(q.Key), 0), strings.HasPrefix(string(q.Key), q.Prefix)
	case q.Prefix != "":
		from, to = PrefixRange(q.Prefix)
		return from, to, true
	}
	return nil, nil, true
}

// firstAfter is the least string that After does not skip.
func firstAfter(q store.ObjectQuery) []byte {
	if strings.HasPrefix(q.After, q.Prefix) {
		if prefix, past, ok := CommonPrefix(q, q.After); ok && prefix == q.After {
			return past
		}
	}
	return append([]byte(q.After), 0)
}

// CommonPrefix returns the common prefix that the query groups the key under,
// and the least key that is not in the group; false when the key is listed by itself.
func CommonPrefix(q store.ObjectQuery, key string) (prefix string, next []byte, ok bool) {
	if q.Delimiter == "" {
		return "", nil, false
	}
	at := strings.Index(key[len(q.Prefix):], q.Delimiter)
	if at < 0 {
		return "", nil, false
	}
	prefix = key[:len(q.Prefix)+at+len(q.Delimiter)]
	if next = Successor([]byte(prefix)); next == nil {
		next = afterAllKeys
	}
	return prefix, next, true
}

// Successor returns the least string above all strings that begin with p, or nil when there
// is no such string (p is empty, or all 0xFF). p is not changed.
func Successor(p []byte) []byte {
	for len(p) > 0 && p[len(p)-1] == 0xff {
		p = p[:len(p)-1]
	}
	if len(p) == 0 {
		return nil
	}
	p = bytes.Clone(p)
	p[len(p)-1]++
	return p
}

func larger(a, b []byte) []byte {
	if bytes.Compare(a, b) >= 0 {
		return a
	}
	return b
}
