// Package cluster runs Ringstore for tests and benchmarks as in production: real processes of the built programs on
// loopback ports, with a private PostgreSQL or standalone. It leaves nothing behind: the processes end with the program
// that started them, and Close removes their files.
package cluster
