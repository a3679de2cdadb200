// Package standalone is a gateway and its storage nodes in one process
// (`s3gateway standalone`): metadata in SQLite, chunks passed in memory, all under one
// directory:
//
//	DIR/lock              held by the process that runs
//	DIR/master.key        seals the secrets in the metadata
//	DIR/metadata.db       the metadata (meta/sqlite)
//	DIR/metadata.reserve  disk space kept for deletions
//	DIR/nodes/NAME/       a storage node's data directory (chunkfs)
//
// It runs the gateway's own code with other parts; see gateway.Core.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/ringstore/ringstore/daemon/gateway"
	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/conf"
	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/meta/watch"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
	"github.com/ringstore/ringstore/profile"
)

const program = "s3gateway standalone"

// ballast is as in package gateway.
const ballast = 64 << 20

// Main runs everything until ctx ends and returns the exit code: 0 after a requested stop,
// 1 after a failure, 2 for wrong usage. The environment is the process's own.
func Main(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	return gateway.ExitCode(ctx, program, serve(ctx, args, stdout, stderr), stderr)
}

func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := DefaultConfig()
	var exposed []string
	err := conf.Load(conf.Spec{
		Program: program,
		Summary: "s3gateway standalone runs a gateway and its storage nodes in one process, on one directory.",
		Usage:   []string{"--data DIR [flags]"},
		Version: gateway.Version(), EnvPrefix: "RINGSTORE_", Target: &c, Args: args, Environ: os.Environ(), Output: stdout, Exposed: &exposed,
	})
	if err != nil {
		return err
	}
	defer lifecycle.Ballast(ballast)()
	log, err := telemetry.NewLogger(stderr, c.LogLevel, telemetry.Format(c.LogFormat))
	if err != nil {
		return err
	}
	lifecycle.WarnExposed(log, exposed, "RINGSTORE_")
	unlock, err := lockDirectory(c.Data)
	if err != nil {
		return err
	}
	return errors.Join(run(ctx, c, log, stdout), unlock())
}

func run(ctx context.Context, c Config, log *slog.Logger, stdout io.Writer) error {
	master, _, err := access.EnsureMasterKey(filepath.Join(c.Data, "master.key"))
	if err != nil {
		return err
	}
	database, err := sqlite.Open(ctx, filepath.Join(c.Data, "metadata.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	meta := watch.New(database, c.Heartbeat)
	buffers := bufpool.New()
	ns, err := openNodes(ctx, c, meta, log, buffers)
	if err != nil {
		return errors.Join(err, meta.Close())
	}
	parts := gateway.Parts{Meta: meta, Master: master, Name: gateway.ProcessName(), Connect: ns.connect, Log: log, Buffers: buffers}
	err = runCore(ctx, c, ns, parts, stdout)
	return errors.Join(err, ns.close(), meta.Close())
}

func runCore(ctx context.Context, c Config, ns *nodes, p gateway.Parts, stdout io.Writer) error {
	core, err := gateway.NewCore(ctx, c.Settings, p)
	if err != nil {
		return err
	}
	endpoint := endpointOf(core.Listener.Addr())
	lifecycle.WarnPlain(p.Log, core.Listener.Addr())
	name, where, err := saveProfile(ctx, p, core.Root, endpoint)
	if err != nil {
		return errors.Join(err, core.Close())
	}
	g := lifecycle.NewGroup(p.Log)
	g.Add(lifecycle.Service{Name: "heartbeats", Run: ns.heartbeater().Run})
	core.AddTo(g, func() {
		fmt.Fprintf(stdout, "Ringstore standalone, %d storage nodes, data in %s\n", len(ns.all), c.Data)
		fmt.Fprintf(stdout, "  REST API  %s\n  profile   %s (%q)\n", endpoint, where, name)
		fmt.Fprint(stdout, nextStep(name))
	})
	return errors.Join(g.Run(ctx), core.Close())
}

// endpointOf returns the URL by which a client on this host reaches the address.
func endpointOf(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// nextStep returns what to print about using the server with its profile.
func nextStep(name string) string {
	if name == profile.Local {
		return fmt.Sprintf("ready: try  s3ctl put FILE s3://%s/  and  s3ctl ls\n", store.DefaultBucket)
	}
	return fmt.Sprintf("  note      profile %q belongs to another server and was not changed\nready: try  s3ctl --profile %s ls  or make it the default with  s3ctl profile use %s\n",
		profile.Local, name, name)
}

// saveProfile writes a profile of this server for s3ctl, with the key of this start or of
// an earlier one. Its name is "local", unless another server or a person wrote a profile
// of this name: that one is kept, since its secret may be stored nowhere else, and this
// server's profile gets its own name. It returns the name and the file.
func saveProfile(ctx context.Context, p gateway.Parts, root access.KeyPair, endpoint string) (name, path string, err error) {
	if root == (access.KeyPair{}) {
		if root, err = anyKey(ctx, p); err != nil {
			return "", "", err
		}
	}
	file, err := profile.UserFile()
	if err != nil {
		return "", "", err
	}
	members, err := p.Meta.Members(ctx)
	if err != nil {
		return "", "", err
	}
	cluster := members.Cluster.String()
	own := profile.Profile{Endpoint: endpoint, AccessKey: root.AccessKey, Secret: root.Secret, Owner: "cluster " + cluster}
	name = profile.Local
	err = file.SaveOwned(name, own)
	if _, taken := errors.AsType[*profile.TakenError](err); taken {
		name = profile.Local + "-" + cluster[:8]
		err = file.SaveOwned(name, own)
	}
	return name, string(file), err
}

// anyKey returns the oldest access key with its secret.
func anyKey(ctx context.Context, p gateway.Parts) (access.KeyPair, error) {
	all, err := p.Meta.ListCredentials(ctx)
	if err != nil {
		return access.KeyPair{}, err
	}
	var oldest store.Credential
	for _, c := range all {
		if oldest.AccessKey == "" || c.CreatedAt.Before(oldest.CreatedAt) {
			oldest = c
		}
	}
	secret, err := p.Master.Open(oldest.AccessKey, oldest.Sealed)
	return access.KeyPair{AccessKey: oldest.AccessKey, Secret: secret}, err
}
