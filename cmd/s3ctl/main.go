// Command s3ctl stores and fetches files in Ringstore; see package ctl.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ringstore/ringstore/ctl"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first Ctrl-C ends things cleanly; with the handler gone, a second one ends them at once.
	context.AfterFunc(ctx, stop)
	return ctl.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
