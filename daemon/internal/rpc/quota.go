package rpc

import (
	"net/netip"
	"sync"
)

// Quota counts how much of a bounded resource is in use, in all and by client address.
// A zero limit is no limit. Safe for concurrent use.
type Quota struct {
	Total, Each int
	free        func(netip.Addr) bool // clients that do not count towards Total; nil: none

	mu    sync.Mutex // guards what follows
	taken int
	by    map[netip.Addr]int
}

// take counts one more if that is within the limits, and reports whether it is. give returns it.
func (q *Quota) take(client netip.Addr) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	counts := q.free == nil || !q.free(client)
	if counts && q.Total > 0 && q.taken >= q.Total || q.Each > 0 && q.by[client] >= q.Each {
		return false
	}
	if q.by == nil {
		q.by = map[netip.Addr]int{}
	}
	q.by[client]++
	if counts {
		q.taken++
	}
	return true
}

// give returns one that was taken for the client.
func (q *Quota) give(client netip.Addr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.by[client]--; q.by[client] <= 0 {
		delete(q.by, client)
	}
	if q.free == nil || !q.free(client) {
		q.taken--
	}
}
