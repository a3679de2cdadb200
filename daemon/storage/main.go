// Package storage is the composition root of a storage node, s3storage: it serves a data
// directory (chunkfs) over gRPC (rpc/chunks) and joins a cluster with it.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/conf"
	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

const (
	program   = "s3storage"
	envPrefix = "RINGSTORE_"
)

// ballast is half a gateway's: several nodes may share a machine.
const ballast = 32 << 20

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// healthTimeout bounds the health command, below what container runtimes allow a check.
const healthTimeout = 3 * time.Second

// Main runs a storage node until ctx ends, or the command that args name, and
// returns the exit code: 0 after a requested stop, 1 after a failure, 2 after a
// usage error. It reads the process's environment. It writes two lines to stdout, when the
// node serves and when it has joined, and the log to stderr.
func Main(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	run := serve
	if len(args) > 0 && args[0] == "health" {
		run, args = health, args[1:]
	}
	err := run(ctx, args, stdout, stderr)
	switch {
	case err == nil || errors.Is(err, conf.ErrHelp):
		return exitOK
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return exitOK // it was stopped while it started
	case errors.Is(err, store.Invalid):
		report(stderr, err)
		return exitUsage
	default:
		report(stderr, err)
		return exitFailure
	}
}

// report prints the cause and the next step.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "%s: %v\n", program, err)
	if hint := store.HintOf(err); hint != "" {
		fmt.Fprintln(w, hint)
	}
}

// load fills a Config. lax accepts missing settings, for commands that need few of them.
func load(args []string, stdout io.Writer, lax bool) (c Config, exposed []string, err error) {
	c = DefaultConfig()
	err = conf.Load(conf.Spec{
		Program:   program,
		Summary:   "s3storage keeps chunks in a data directory and is a member of a Ringstore cluster.",
		Usage:     []string{"--data DIR --gateway HOST:PORT --join-token-file FILE [flags]", "health [--listen HOST:PORT]    whether the node on this host serves"},
		Version:   version(),
		EnvPrefix: envPrefix,
		Target:    &c,
		Args:      args,
		Environ:   os.Environ(),
		Output:    stdout,
		Lax:       lax,
		Exposed:   &exposed,
	})
	return c, exposed, err
}

// version is the module version of the build.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// serve is s3storage without a command.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, exposed, err := load(args, stdout, false)
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(stderr, c.LogLevel, telemetry.Format(c.LogFormat))
	if err != nil {
		return err
	}
	lifecycle.WarnExposed(log, exposed, envPrefix)
	defer lifecycle.Ballast(ballast)()
	n, err := New(ctx, c, version(), log)
	if err != nil {
		return err
	}
	lifecycle.WarnPlain(log, n.Address())
	warnUnreachable(log, n.Self().Address, c.Gateway)
	fmt.Fprintf(stdout, "%s: serving %s, data %s, node %s\n", program, n.Address(), c.Data, n.Self().ID)
	announced := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(announced)
		select {
		case <-n.Joined():
			fmt.Fprintf(stdout, "%s: ready, joined as %s (%s)\n", program, n.Self().Name, n.Self().Address)
		case <-ended:
		}
	}()
	err = n.Run(ctx)
	close(ended)
	<-announced
	return err
}

// warnUnreachable warns if the node advertises a loopback address to a gateway on another host.
func warnUnreachable(log *slog.Logger, own string, gateways []string) {
	if !onLoopback(own) {
		return
	}
	for _, g := range gateways {
		if !onLoopback(g) {
			log.Warn("a gateway on another host cannot reach this node", "address", own, "gateway", g,
				"next", "give --listen an address of this host's network, and --advertise if gateways use another one")
			return
		}
	}
}

// onLoopback reports whether an address is a loopback address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, bad := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || bad == nil && ip.Unmap().IsLoopback())
}

// health is the command for container health checks.
func health(ctx context.Context, args []string, stdout, _ io.Writer) error {
	c, _, err := load(args, stdout, true)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return store.Errorf(store.Invalid, "--listen %q is not host:port", c.Listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if err := rpc.CheckHealth(ctx, net.JoinHostPort(host, port), nil); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "serving")
	return nil
}
