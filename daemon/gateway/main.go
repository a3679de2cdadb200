// Package gateway is the composition root of a gateway, s3gateway: the metadata
// in PostgreSQL, the storage nodes behind gRPC, and the Core that both kinds of
// gateway share.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/conf"
	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/watch"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/data"
	"github.com/ringstore/ringstore/daemon/internal/rpc/member"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

const (
	program   = "s3gateway"
	envPrefix = "RINGSTORE_"
)

// ballast is sized for many small requests: some ten thousand of them between two collections.
const ballast = 64 << 20

// Main runs a gateway until ctx ends, or one of the commands health and secrets, and returns the
// exit code: 0 after a requested stop, 1 after a failure, 2 for wrong usage. The
// environment is the process's own.
func Main(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "health" {
		return ExitCode(ctx, program, health(ctx, args[1:], stdout), stderr)
	}
	if len(args) > 0 && args[0] == "secrets" {
		return ExitCode(ctx, program, secrets(args[1:], stdout), stderr)
	}
	return ExitCode(ctx, program, serve(ctx, args, stdout, stderr), stderr)
}

// ExitCode prints the error and its hint to stderr and returns the exit code.
func ExitCode(ctx context.Context, program string, err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, conf.ErrHelp) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return 0 // the last: it was stopped while starting
	}
	fmt.Fprintf(stderr, "%s: %v\n", program, err)
	if hint := store.HintOf(err); hint != "" {
		fmt.Fprintln(stderr, hint)
	}
	if errors.Is(err, store.Invalid) {
		return 2
	}
	return 1
}

// Version returns the module version of the build.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func load(args []string, stdout io.Writer, lax bool) (c Config, exposed []string, err error) {
	c = DefaultConfig()
	err = conf.Load(conf.Spec{
		Program: program,
		Summary: "s3gateway serves the clients of a Ringstore cluster and admits its storage nodes.",
		Usage: []string{
			"--database URL --join-token-file FILE --master-key-file FILE [flags]",
			"standalone --data DIR [flags]    gateway and storage nodes in one process; see standalone --help",
			"health [--listen HOST:PORT]      whether the gateway on this host is ready",
			"secrets --help                   make the secrets of a cluster in containers",
		},
		Version: Version(), EnvPrefix: envPrefix, Target: &c, Args: args, Environ: os.Environ(), Output: stdout, Lax: lax, Exposed: &exposed,
	})
	return c, exposed, err
}

func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, exposed, err := load(args, stdout, false)
	if err != nil {
		return err
	}
	defer lifecycle.Ballast(ballast)()
	log, err := telemetry.NewLogger(stderr, c.LogLevel, telemetry.Format(c.LogFormat))
	if err != nil {
		return err
	}
	lifecycle.WarnExposed(log, worthWarning(exposed, c), envPrefix)
	master, err := access.ParseMasterKey(c.MasterKey.Reveal())
	if err != nil {
		return err
	}
	name := ProcessName()
	database, err := postgres.Open(ctx, c.Database.Reveal(), postgres.Options{Gateway: name, Version: Version(), Log: log})
	if err != nil {
		return err
	}
	meta := watch.New(database, c.Heartbeat)
	return errors.Join(run(ctx, c, Parts{Meta: meta, Master: master, Name: name, Log: log, Buffers: bufpool.New()}, stdout), meta.Close())
}

// run wires the gateway and runs it until ctx ends.
func run(ctx context.Context, c Config, p Parts, stdout io.Writer) error {
	token := c.JoinToken.Reveal()
	joins, err := net.Listen("tcp", c.ListenGRPC)
	if err != nil {
		return store.Errorf(store.Unavailable, "--listen-grpc %s: %w", c.ListenGRPC, err).
			WithHint("Choose another address with --listen-grpc, or stop what uses this one.")
	}
	p.Connect = func(n store.Node) (chunk.Store, io.Closer, error) {
		control, err := chunks.Dial(n.Address, chunks.DialConfig{Node: n.ID, JoinToken: token, Buffers: p.Buffers})
		if err != nil || n.DataPort != data.Version || c.DataPlane == data.OnlyGRPC {
			return control, control, err
		}
		client := data.Dial(n.Address, data.DialConfig{GRPC: control, Node: n.ID, JoinToken: token, Buffers: p.Buffers, Log: p.Log})
		return client, client, nil
	}
	core, err := NewCore(ctx, c.Settings, p)
	if err != nil {
		return errors.Join(err, joins.Close())
	}
	showKey, err := firstKey(ctx, core.Root, c, p.Meta, stdout)
	if err != nil {
		return errors.Join(err, core.Close(), joins.Close())
	}
	lifecycle.WarnPlain(p.Log, core.Listener.Addr(), joins.Addr())
	members := member.NewServer(member.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: token, Buffers: p.Buffers, Throttle: core.Throttle, Log: p.Log}, Nodes: p.Meta, Heartbeat: c.Heartbeat,
	})
	g := lifecycle.NewGroup(p.Log)
	g.Add(lifecycle.Service{Name: "membership", Run: func(context.Context) error { return members.Serve(joins) }, Stop: members.Shutdown})
	core.AddTo(g, func() {
		fmt.Fprintf(stdout, "%s: ready, REST API on http://%s, storage nodes join at %s\n", program, core.Listener.Addr(), joins.Addr())
		showKey()
	})
	return errors.Join(g.Run(ctx), core.Close())
}

// healthLimit bounds the health command, below what container runtimes allow a check.
const healthLimit = 3 * time.Second

// health is the command for container health checks.
func health(ctx context.Context, args []string, stdout io.Writer) error {
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
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return store.Errorf(store.Unavailable, "the gateway does not answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return store.Errorf(store.Unavailable, "the gateway is not ready: %s", resp.Status)
	}
	fmt.Fprintln(stdout, "ready")
	return nil
}
