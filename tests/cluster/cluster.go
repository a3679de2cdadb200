package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringstore/ringstore/tests/pgserver"
)

// Options says what to run. The zero value is a gateway with six nodes on PostgreSQL.
type Options struct {
	Dir        string   // for data and logs; must exist and be empty
	Bin        string   // where Build put the programs
	Nodes      int      // default 6
	Standalone bool     // gateway and nodes in one process on SQLite
	Durable    bool     // PostgreSQL with fsync, as in production
	Gateway    []string // further flags of the gateway
	Storage    []string // further flags of each storage node
}

// Cluster is a running Ringstore.
type Cluster struct {
	URL       string // of the REST API
	AccessKey string
	SecretKey string
	Database  *pgserver.Server // nil when standalone
	Gateway   *Process
	Nodes     []*Process // none when standalone
	Join      string     // address where nodes join; "" when standalone
	Addresses []string   // of the nodes, in their order
	Dir       string

	client http.Client
}

// JoinToken is the join token of every cluster.
const JoinToken = "test-join-token-0123456789"

// The root key that clusters are started with.
const (
	rootAccessKey = "RSTESTROOTACCESSKEY1"
	rootSecretKey = "test-root-secret-key-0123456789abcdefgh"
	masterKey     = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

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
	rest, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	c.URL = "http://" + rest
	if o.Standalone {
		err = c.startStandalone(o, rest)
	} else {
		err = c.startDaemons(ctx, o, rest)
	}
	if err != nil {
		return nil, err
	}
	return c, c.WaitReady(ctx, o.Nodes)
}

func (c *Cluster) startStandalone(o Options, rest string) error {
	args := append([]string{"standalone", "--data", filepath.Join(o.Dir, "data"), "--listen", rest, "--nodes", fmt.Sprint(o.Nodes)}, o.Gateway...)
	c.Gateway = newProcess(o.Dir, "standalone", filepath.Join(o.Bin, "s3gateway"), c.environ(), args...)
	return c.Gateway.Start()
}

func (c *Cluster) startDaemons(ctx context.Context, o Options, rest string) (err error) {
	if c.Database, err = pgserver.New(ctx, pgserver.Options{Durable: o.Durable, TCP: true, TempDir: os.TempDir()}); err != nil {
		return err
	}
	join, err := FreeAddress()
	if err != nil {
		return err
	}
	c.Join = join
	args := append([]string{"--database", c.Database.DSN("postgres"), "--listen", rest, "--listen-grpc", join}, o.Gateway...)
	c.Gateway = newProcess(o.Dir, "gateway", filepath.Join(o.Bin, "s3gateway"), c.environ(), args...)
	if err := c.Gateway.Start(); err != nil {
		return err
	}
	for i := range o.Nodes {
		address, err := FreeAddress()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("storage-%d", i+1)
		args := append([]string{
			"--gateway", join, "--data", filepath.Join(o.Dir, name), "--listen", address, "--advertise", address, "--name", name,
		}, o.Storage...)
		p := newProcess(o.Dir, name, filepath.Join(o.Bin, "s3storage"), c.environ(), args...)
		c.Nodes, c.Addresses = append(c.Nodes, p), append(c.Addresses, address)
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

// environ is what the daemons see: nothing of the user's own settings.
func (c *Cluster) environ() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "XDG_CONFIG_HOME=" + filepath.Join(c.Dir, "config"), "TMPDIR=" + os.TempDir(),
		"RINGSTORE_ROOT_ACCESS_KEY=" + rootAccessKey, "RINGSTORE_ROOT_SECRET_KEY=" + rootSecretKey,
		"RINGSTORE_JOIN_TOKEN=" + JoinToken, "RINGSTORE_MASTER_KEY=" + masterKey,
	}
}

// Environ is what s3ctl needs to reach the cluster, besides PATH; HOME is the cluster's directory.
func (c *Cluster) Environ() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "XDG_CONFIG_HOME=" + filepath.Join(c.Dir, "config"),
		"RINGSTORE_ENDPOINT=" + c.URL, "RINGSTORE_ACCESS_KEY=" + c.AccessKey, "RINGSTORE_SECRET_KEY=" + c.SecretKey,
	}
}

// Command prepares a program that is a client of the cluster, with Environ and
// env, which wins. It is not started, and not ended by Close; its output goes to NAME.log.
func (c *Cluster) Command(name, path string, args []string, env ...string) *Process {
	return newProcess(c.Dir, name, path, append(c.Environ(), env...), args...)
}

// WaitReady waits until the gateway is ready and sees that many nodes online.
func (c *Cluster) WaitReady(ctx context.Context, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.Gateway.waitFor(ctx, "ready", func(ctx context.Context) error {
		if err := c.Get(ctx, "/health/ready", nil); err != nil {
			return err
		}
		online, err := c.Online(ctx)
		if err == nil && online != nodes {
			err = fmt.Errorf("%d of %d nodes are online", online, nodes)
		}
		return err
	})
}

// Online counts the nodes that the gateway can use.
func (c *Cluster) Online(ctx context.Context) (n int, err error) {
	var list struct {
		Nodes []struct {
			Status string `json:"status"`
		} `json:"nodes"`
	}
	if err := c.Get(ctx, "/nodes", &list); err != nil {
		return 0, err
	}
	for _, m := range list.Nodes {
		if m.Status == "online" {
			n++
		}
	}
	return n, nil
}

// Get asks the REST API and decodes the JSON answer into out, unless it is nil.
func (c *Cluster) Get(ctx context.Context, path string, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
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
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, strings.TrimSpace(string(body)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

// Close ends everything. Data and logs stay in Options.Dir, which the caller removes.
func (c *Cluster) Close() error {
	c.client.CloseIdleConnections()
	var errs []error
	if c.Gateway != nil {
		errs = append(errs, c.Gateway.Stop())
	}
	for _, n := range c.Nodes {
		errs = append(errs, n.Stop())
	}
	if c.Database != nil {
		errs = append(errs, c.Database.Close())
	}
	return errors.Join(errs...)
}

// FreeAddress finds a loopback port that nobody listens on.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
