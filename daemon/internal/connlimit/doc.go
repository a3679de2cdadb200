// Package connlimit bounds the connections of a listener before anything is read from them,
// so that the memory and descriptors that unauthenticated clients can use are limited, and a
// single address cannot use them all.
//
// A server that has authenticated a peer calls [Prove]. Connections without a proven peer have
// limits of their own; when one is reached, the oldest of them is closed. So unauthenticated
// clients displace only one another, and a new peer always has time to authenticate.
package connlimit
