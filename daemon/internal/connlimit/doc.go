// Package connlimit bounds the connections of a listener before anything is
// read from them, so that the memory and the descriptors that a stranger can
// take are limited, and a single address cannot take them all.
//
// A server that authenticates its peers tells so with [Prove]. Connections of
// peers that have not proven themselves then have limits of their own, and are
// closed oldest first when those are reached: strangers replace one another,
// and a newcomer always has time to prove itself.
package connlimit
