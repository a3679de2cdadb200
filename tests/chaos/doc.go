// Package chaos kills clients, gateways and nodes in the middle of large
// transfers by s3ctl, and demands that the same command, run again where it was
// killed, ends with equal bytes, and moves hardly more of them than the file has.
//
// The sizes are small in `make test`; `make chaos` moves 10 GiB each way. See the
// variables in chaos_test.go.
package chaos
