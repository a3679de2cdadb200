package placement

import "github.com/ringstore/ringstore/daemon/internal/store"

// Others returns the nodes of the part's other chunks; the zero node for those that are on none.
func Others(p store.Part, index int) (nodes []store.NodeID) {
	for i, c := range p.Chunks {
		if i != index {
			nodes = append(nodes, c.Node)
		}
	}
	return nodes
}

// FewerThan returns a filter of the nodes that hold fewer of the part's other chunks than the given node: the part survives more
// with the chunk on one of them.
func FewerThan(p store.Part, index int, node store.NodeID) func(store.NodeID) bool {
	held := map[store.NodeID]int{}
	for _, id := range Others(p, index) {
		held[id]++
	}
	return func(id store.NodeID) bool { return held[id] < held[node] }
}
