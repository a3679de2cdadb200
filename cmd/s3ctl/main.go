// Command s3ctl moves files in and out of a cluster, and shows and changes the
// cluster itself.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ringstore/ringstore/ctl"
)

func main() {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // libraries log through it, onto the terminal
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := ctl.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
