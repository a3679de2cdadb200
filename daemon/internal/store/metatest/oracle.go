package metatest

import (
	"slices"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// listed is an entry as the oracle sees it.
type listed struct {
	Name   string
	Common bool
}

// naive is ListObjects without a limit, slow and obviously right: look at every
// key in order, one rule of ObjectQuery after the other.
func naive(keys []store.Key, q store.ObjectQuery) []listed {
	var all []listed
	for _, key := range sorted(keys) {
		if !strings.HasPrefix(key, q.Prefix) {
			continue
		}
		if key <= q.After {
			continue
		}
		if group, ok := naiveGroup(q.After, q); ok && group == q.After && strings.HasPrefix(key, q.After) {
			continue
		}
		entry := listed{Name: key}
		if group, ok := naiveGroup(key, q); ok {
			entry = listed{Name: group, Common: true}
		}
		if !slices.Contains(all, entry) {
			all = append(all, entry)
		}
	}
	return all
}

// naiveGroup is what a key shares with others: all up to and with the first delimiter after the prefix.
func naiveGroup(key string, q store.ObjectQuery) (string, bool) {
	rest, ok := strings.CutPrefix(key, q.Prefix)
	if !ok || q.Delimiter == "" {
		return "", false
	}
	before, _, ok := strings.Cut(rest, q.Delimiter)
	return q.Prefix + before + q.Delimiter, ok
}

func sorted(keys []store.Key) []string {
	var all []string
	for _, k := range keys {
		all = append(all, string(k))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
