package ring

import (
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Place returns the node of each of the part's n chunks, by chunk index, by
// the rule of the package comment. Nodes for which usable returns false are skipped as if
// they were not on the ring; nil skips none. usable is called at most once per
// node, and only for nodes that the walk meets before the result is decided.
// The result is nil when no node is usable or n < 1.
func (r *Ring) Place(part store.PartID, n int, usable func(store.NodeID) bool) []store.NodeID {
	if n < 1 || len(r.nodes) == 0 {
		return nil
	}
	w := r.walks.Get().(*walk)
	defer r.walks.Put(w)
	w.begin(r.start(part), usable)
	placed := w.pass(make([]store.NodeID, 0, n))
	for len(placed) < n {
		if !w.advance() {
			return nil
		}
		placed = w.pass(placed)
	}
	return placed
}

// Next returns the node for one more chunk of a part whose other chunks are on
// the nodes in held, by the rule of the package comment. IDs in
// held that are not on the ring, the zero one included, do not count. False when no
// node is usable. It calls usable once for every node of the ring.
//
// Place returns the same nodes as n calls of Next.
func (r *Ring) Next(part store.PartID, held []store.NodeID, usable func(store.NodeID) bool) (store.NodeID, bool) {
	onNode := map[store.NodeID]int{}
	for _, id := range held {
		onNode[id]++
	}
	inZone := make([]int, len(r.zoneSize))
	for i, n := range r.nodes {
		inZone[r.zoneOf[i]] += onNode[n.ID]
	}
	best := int32(-1)
	for _, v := range r.clockwise(part) {
		if usable != nil && !usable(r.nodes[v].ID) {
			continue
		}
		if best < 0 || r.before(v, best, onNode, inZone) {
			best = v
		}
	}
	if best < 0 {
		return store.NodeID{}, false
	}
	return r.nodes[best].ID, true
}

// before reports whether a holds fewer chunks than b, comparing nodes first and then zones. At equal loads it is false: b was met earlier.
func (r *Ring) before(a, b int32, onNode map[store.NodeID]int, inZone []int) bool {
	na, nb := onNode[r.nodes[a].ID], onNode[r.nodes[b].ID]
	if na != nb {
		return na < nb
	}
	return inZone[r.zoneOf[a]] < inZone[r.zoneOf[b]]
}

// clockwise lists all nodes in the order in which the part's walk first meets them.
func (r *Ring) clockwise(part store.PartID) []int32 {
	if len(r.nodes) == 0 {
		return nil
	}
	w := newWalk(r)
	w.begin(r.start(part), nil)
	for w.discover() {
	}
	return w.order
}

// walk is the state of one Place. The nodes met so far are kept in order, so that the circle
// is scanned once, and only as far as needed, however many passes there are.
//
// In one pass each zone takes one more chunk, up to level, and no node exceeds limit.
type walk struct {
	r      *Ring
	usable func(store.NodeID) bool

	at    int     // the token to look at next
	fresh int     // nodes not met yet
	met   []bool  // by node
	order []int32 // usable nodes as they were met
	onto  []int32 // chunks placed, by node

	inZone  []int32 // chunks placed, by zone
	unmet   []int32 // nodes not met yet, by zone
	serving []int32 // usable nodes met, by zone

	level, limit int32
	open         int // zones that can still take a chunk in this pass
}

func newWalk(r *Ring) *walk {
	nodes, zones := len(r.nodes), len(r.zoneSize)
	return &walk{
		r: r, met: make([]bool, nodes), onto: make([]int32, nodes), order: make([]int32, 0, nodes),
		inZone: make([]int32, zones), unmet: make([]int32, zones), serving: make([]int32, zones),
	}
}

func (w *walk) begin(at int, usable func(store.NodeID) bool) {
	w.at, w.usable, w.fresh = at, usable, len(w.r.nodes)
	w.order = w.order[:0]
	clear(w.met)
	clear(w.onto)
	clear(w.inZone)
	clear(w.serving)
	copy(w.unmet, w.r.zoneSize)
	w.level, w.limit, w.open = 1, 1, len(w.unmet)
}

// pass scans the nodes of the walk once and appends to placed, up to its capacity.
func (w *walk) pass(placed []store.NodeID) []store.NodeID {
	for i := 0; w.open > 0 && len(placed) < cap(placed); i++ {
		if i == len(w.order) && !w.discover() {
			break
		}
		node := w.order[i]
		zone := w.r.zoneOf[node]
		if w.onto[node] == w.limit || w.inZone[zone] >= w.level {
			continue
		}
		w.onto[node]++
		w.inZone[zone]++
		if !w.isOpen(zone) {
			w.open--
		}
		placed = append(placed, w.r.nodes[node].ID)
	}
	return placed
}

// discover advances to the next usable node that was not met before; false when all have been met.
func (w *walk) discover() bool {
	for w.fresh > 0 {
		node := w.r.owners[w.at]
		if w.at++; w.at == len(w.r.owners) {
			w.at = 0
		}
		if w.met[node] {
			continue
		}
		if w.meet(node) {
			return true
		}
	}
	return false
}

func (w *walk) meet(node int32) (usable bool) {
	w.met[node] = true
	w.fresh--
	zone := w.r.zoneOf[node]
	wasOpen := w.isOpen(zone)
	w.unmet[zone]--
	usable = w.usable == nil || w.usable(w.r.nodes[node].ID)
	if usable {
		w.serving[zone]++
		w.order = append(w.order, node)
	}
	if wasOpen && !w.isOpen(zone) {
		w.open--
	}
	return usable
}

func (w *walk) isOpen(zone int32) bool { return w.inZone[zone] < w.level && w.hasRoom(zone) }

func (w *walk) hasRoom(zone int32) bool {
	return w.unmet[zone] > 0 || w.inZone[zone] < w.limit*w.serving[zone]
}

// advance prepares the next pass: the zones with the fewest chunks take one more each, or,
// once every node is at the limit, the limit is raised by one. False when no node is usable.
func (w *walk) advance() bool {
	if w.fresh == 0 && len(w.order) == 0 {
		return false
	}
	for {
		w.level, w.open = 0, 0
		for zone := range int32(len(w.inZone)) {
			if !w.hasRoom(zone) {
				continue
			}
			switch next := w.inZone[zone] + 1; {
			case w.level == 0 || next < w.level:
				w.level, w.open = next, 1
			case next == w.level:
				w.open++
			}
		}
		if w.open > 0 {
			return true
		}
		w.limit++
	}
}
