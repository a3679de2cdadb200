// Command s3gateway runs a gateway of a cluster, or, as `s3gateway standalone`, a
// gateway and its storage nodes in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ringstore/ringstore/daemon/gateway"
	"github.com/ringstore/ringstore/daemon/standalone"
)

func main() {
	run, args := gateway.Main, os.Args[1:]
	if len(args) > 0 && args[0] == "standalone" {
		run, args = standalone.Main, args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
