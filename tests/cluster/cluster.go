package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ringstore/ringstore/tests/pgserver"
)

// Options describe the cluster to run. The zero value is a gateway with six nodes on PostgreSQL.
type Options struct {
	Dir        string   // for data and logs; must exist and be empty
	Bin        string   // folder of the programs that Build wrote
	Nodes      int      // default 6
	Standalone bool     // gateway and nodes in one process on SQLite
	Durable    bool     // PostgreSQL with fsync, as in production
	Gateway    []string // additional flags of each gateway
	Storage    []string // additional flags of each storage node

	Gateways int                                  // default 1; all on the same database
	Database func(gateway int, dsn string) string // connection string of a gateway in place of dsn, for example through a relay; nil: dsn
	NodeDir  func(node int) string                // data directory of a node, for example on a small file system; nil: in Dir
	NodeArgs func(node int) []string              // additional flags of one storage node; nil: none
}

// Cluster is a running cluster.
type Cluster struct {
	URL       string // of the REST API
	AccessKey string
	SecretKey string
	Database  *pgserver.Server // nil when standalone
	Gateway   *Process         // the first gateway, or the standalone process
	Gateways  []*Process
	URLs      []string   // of the REST API of each gateway
	Nodes     []*Process // none if standalone
	Join      string     // address of the first gateway for nodes to join; "" if standalone
	Addresses []string   // address of each node, host:port
	Dir       string

	client http.Client
}

// The root key that clusters are started with.
const (
	rootAccessKey = "RSTESTROOTACCESSKEY1"
	rootSecretKey = "test-root-secret-key-0123456789abcdefgh"
	masterKey     = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

// JoinToken is the join token of every cluster, for tests that call its nodes directly.
const JoinToken = "test-join-token-0123456789"

// Build compiles the programs into dir.
func Build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+string(filepath.Separator), "github.com/ringstore/ringstore/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// Start runs a cluster and returns when it is ready for writes on all nodes.
// The caller must Close it.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	if o.Nodes == 0 {
		o.Nodes = 6
	}
	c := &Cluster{AccessKey: rootAccessKey, SecretKey: rootSecretKey, Dir: o.Dir, client: http.Client{Timeout: 5 * time.Second}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if o.Standalone {
		err = c.startStandalone(o)
	} else {
		err = c.startDaemons(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return c, c.WaitReady(ctx, o.Nodes)
}

func (c *Cluster) startStandalone(o Options) error {
	rest, err := FreeAddress()
	if err != nil {
		return err
	}
	args := append([]string{"standalone", "--data", filepath.Join(o.Dir, "data"), "--listen", rest, "--nodes", fmt.Sprint(o.Nodes)}, o.Gateway...)
	return c.startGateway(newProcess(o.Dir, "standalone", filepath.Join(o.Bin, "s3gateway"), c.environ(), args...), rest)
}

// startGateway adds and starts a gateway that serves REST on an address.
func (c *Cluster) startGateway(p *Process, rest string) error {
	c.Gateways, c.URLs = append(c.Gateways, p), append(c.URLs, "http://"+rest)
	c.Gateway, c.URL = c.Gateways[0], c.URLs[0]
	return p.Start()
}

func (c *Cluster) startDaemons(ctx context.Context, o Options) (err error) {
	if c.Database, err = pgserver.New(ctx, pgserver.Options{Durable: o.Durable, TCP: true, TempDir: os.TempDir()}); err != nil {
		return err
	}
	var joins []string
	for i := range max(o.Gateways, 1) {
		join, err := c.addGateway(o, i)
		if err != nil {
			return err
		}
		joins = append(joins, "--gateway", join)
	}
	c.Join = joins[1]
	for i := range o.Nodes {
		if err := c.addNode(o, i, joins); err != nil {
			return err
		}
	}
	return nil
}

// addGateway starts gateway number i, from 0, and returns the address for nodes to join.
func (c *Cluster) addGateway(o Options, i int) (join string, err error) {
	rest, err := FreeAddress()
	if err != nil {
		return "", err
	}
	if join, err = FreeAddress(); err != nil {
		return "", err
	}
	name, dsn := "gateway", c.Database.DSN("postgres")
	if i > 0 {
		name = fmt.Sprintf("gateway-%d", i+1)
	}
	if o.Database != nil {
		dsn = o.Database(i, dsn)
	}
	args := append([]string{"--database", dsn, "--listen", rest, "--listen-grpc", join}, o.Gateway...)
	return join, c.startGateway(newProcess(o.Dir, name, filepath.Join(o.Bin, "s3gateway"), c.environ(), args...), rest)
}

// addNode starts storage node number i, from 0.
func (c *Cluster) addNode(o Options, i int, joins []string) error {
	address, err := FreeAddress()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("storage-%d", i+1)
	dir := filepath.Join(o.Dir, name)
	if o.NodeDir != nil {
		dir = o.NodeDir(i)
	}
	args := append([]string{"--data", dir, "--listen", address, "--advertise", address, "--name", name}, joins...)
	args = append(args, o.Storage...)
	if o.NodeArgs != nil {
		args = append(args, o.NodeArgs(i)...)
	}
	p := newProcess(o.Dir, name, filepath.Join(o.Bin, "s3storage"), c.environ(), args...)
	c.Nodes, c.Addresses = append(c.Nodes, p), append(c.Addresses, address)
	return p.Start()
}

// environ is the environment of the daemons, without any settings of the user.
func (c *Cluster) environ() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "XDG_CONFIG_HOME=" + filepath.Join(c.Dir, "config"), "TMPDIR=" + os.TempDir(),
		"RINGSTORE_ROOT_ACCESS_KEY=" + rootAccessKey, "RINGSTORE_ROOT_SECRET_KEY=" + rootSecretKey,
		"RINGSTORE_JOIN_TOKEN=" + JoinToken, "RINGSTORE_MASTER_KEY=" + masterKey,
	}
}

// Environ is the environment that s3ctl needs to reach the cluster, besides PATH; HOME is the cluster's directory.
func (c *Cluster) Environ() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "XDG_CONFIG_HOME=" + filepath.Join(c.Dir, "config"),
		"RINGSTORE_ENDPOINT=" + c.URL, "RINGSTORE_ACCESS_KEY=" + c.AccessKey, "RINGSTORE_SECRET_KEY=" + c.SecretKey,
	}
}

// Command prepares a client program of the cluster, with Environ and env, which takes precedence. It is not started,
// and Close does not end it; its output is written to NAME.log.
func (c *Cluster) Command(name, path string, args []string, env ...string) *Process {
	return newProcess(c.Dir, name, path, append(c.Environ(), env...), args...)
}

// WaitReady waits until every gateway is ready and sees that many nodes online.
func (c *Cluster) WaitReady(ctx context.Context, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i, g := range c.Gateways {
		if err := g.waitFor(ctx, "ready", func(ctx context.Context) error { return c.ready(ctx, c.URLs[i], nodes) }); err != nil {
			return err
		}
	}
	return nil
}

// StartGateway starts a gateway that has ended and waits until it answers. Where it ends again, because it does not find its database, it is
// started again, as a supervisor does, for a minute.
func (c *Cluster) StartGateway(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for g := c.Gateways[i]; ; {
		if err := g.Start(); err != nil {
			return err
		}
		err := g.waitFor(ctx, "answering", func(ctx context.Context) error { return c.get(ctx, c.URLs[i]+"/health/live", nil) })
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (c *Cluster) ready(ctx context.Context, gateway string, nodes int) error {
	if err := c.get(ctx, gateway+"/health/ready", nil); err != nil {
		return err
	}
	online, err := c.online(ctx, gateway)
	if err == nil && online != nodes {
		err = fmt.Errorf("%d of %d nodes are online", online, nodes)
	}
	return err
}

// Online counts the nodes that the first gateway can use.
func (c *Cluster) Online(ctx context.Context) (int, error) { return c.online(ctx, c.URL) }

func (c *Cluster) online(ctx context.Context, gateway string) (n int, err error) {
	var list struct {
		Nodes []struct {
			Status string `json:"status"`
		} `json:"nodes"`
	}
	if err := c.get(ctx, gateway+"/nodes", &list); err != nil {
		return 0, err
	}
	for _, m := range list.Nodes {
		if m.Status == "online" {
			n++
		}
	}
	return n, nil
}

// Get calls the REST API of the first gateway and decodes the JSON answer into out, unless it is nil.
func (c *Cluster) Get(ctx context.Context, path string, out any) error {
	return c.get(ctx, c.URL+path, out)
}

func (c *Cluster) get(ctx context.Context, address string, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.SetBasicAuth(c.AccessKey, c.SecretKey)
	resp, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", address, resp.Status, strings.TrimSpace(string(body)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

// Close ends all processes. Data and logs stay in Options.Dir, which the caller removes.
func (c *Cluster) Close() error {
	c.client.CloseIdleConnections()
	var errs []error
	for _, g := range c.Gateways {
		errs = append(errs, g.Stop())
	}
	for _, n := range c.Nodes {
		errs = append(errs, n.Stop())
	}
	if c.Database != nil {
		errs = append(errs, c.Database.Close())
	}
	return errors.Join(errs...)
}

// Accepts reports whether a program of the folder bin has a flag, such as "--heartbeat", so that one harness can run
// old and new programs side by side.
func Accepts(ctx context.Context, bin, program, flag string) (bool, error) {
	args := strings.Fields(program)
	out, err := exec.CommandContext(ctx, filepath.Join(bin, args[0]), append(args[1:], "--help")...).CombinedOutput()
	if err != nil {
		return false, fmt.Errorf("%s --help: %w\n%s", program, err, out)
	}
	return slices.Contains(strings.Fields(string(out)), flag), nil
}

// KeepReplaced returns the flags that set how long the chunks of deleted and replaced files are kept, if the program
// of the folder bin ("s3gateway", or "s3gateway standalone") has them; others delete chunks at once.
func KeepReplaced(ctx context.Context, bin, program string, d time.Duration) ([]string, error) {
	const flag = "--delete-grace"
	ok, err := Accepts(ctx, bin, program, flag)
	if err != nil || !ok {
		return nil, err
	}
	return []string{flag, d.String()}, nil
}

// FreeAddress returns an unused loopback address.
func FreeAddress() (string, error) {
	port, err := pgserver.FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}
