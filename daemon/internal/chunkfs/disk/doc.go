// Package disk tells what a node's disk still does, and turns the errors of its file system into those of the domain.
package disk
