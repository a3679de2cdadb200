// Command s3storage runs a storage node: it keeps chunks in one data directory
// and joins a cluster through its gateway.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ringstore/ringstore/daemon/storage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := storage.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
