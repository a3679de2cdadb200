// Package cluster runs Ringstore as its users do, for tests and benchmarks:
// real processes of the built programs on loopback ports, with a private
// PostgreSQL or standalone. It leaves nothing behind: the processes end with
// the program that started them, and their files with Close.
package cluster
