// Package member is the membership protocol over gRPC: a gateway's server to which nodes send joins and heartbeats, and the
// Joiner that makes a node a member and keeps it one.
package member
