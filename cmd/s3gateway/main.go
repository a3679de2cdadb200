// Command s3gateway answers clients of a Ringstore cluster: as a gateway before
// storage nodes, or standalone with nodes of its own in one process.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	run, args := gateway.Main, os.Args[1:]
	if len(args) > 0 && args[0] == "standalone" {
		run, args = standalone.Main, args[1:]
	}
	code := run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
