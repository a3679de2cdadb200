package storage

import (
	"errors"
	"fmt"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/conf"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/data"
	"github.com/ringstore/ringstore/daemon/internal/rpc/member"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// Config holds all settings of a storage node.
type Config struct {
	Data      string        `conf:"data" arg:"DIR" required:"true" help:"data directory of this node: one directory, one node, one disk"`
	Gateway   []string      `conf:"gateway" arg:"HOST:PORT" required:"true" help:"gateway's address for nodes; may be repeated, they are tried in turn"`
	JoinToken conf.Secret   `conf:"join-token" arg:"TOKEN" help:"join token of the cluster, the same at every gateway and node"`
	Insecure  bool          `conf:"insecure" help:"work without a join token: every client that reaches the port may read and write; for tests"`
	Listen    string        `conf:"listen" arg:"HOST:PORT" help:"address to serve on; traffic beyond this host is not encrypted"`
	Advertise string        `conf:"advertise" arg:"HOST:PORT" help:"address under which gateways reach this node; by default that of --listen, or this host's name and that port"`
	Name      string        `conf:"name" arg:"NAME" help:"name for people, unique in the cluster; by default this host's name and the port"`
	Zone      string        `conf:"zone" arg:"NAME" help:"failure domain, such as a rack; by default the node is its own"`
	Weight    int           `conf:"weight" arg:"N" help:"share of the data compared with other nodes"`
	Heartbeat time.Duration `conf:"heartbeat" arg:"TIME" help:"longest time between heartbeats; the cluster may require a shorter one"`
	Reserve   conf.Size     `conf:"reserve" arg:"SIZE" help:"space on the disk that chunks must leave free"`
	Limit     conf.Size     `conf:"limit" arg:"SIZE" help:"space that chunks may use at most; 0 is the whole disk"`
	Grace     time.Duration `conf:"grace" arg:"TIME" help:"how long calls in progress may take to finish when the node is stopped"`
	DataPlane string        `conf:"data-plane" arg:"PLANE" help:"how gateways may send and read data: auto (through the data port, beside gRPC on the same address) or grpc"`
	LogLevel  string        `conf:"log-level" arg:"LEVEL" help:"lowest level to log: debug, info, warn or error"`
	LogFormat string        `conf:"log-format" arg:"FORMAT" help:"text, json, or auto: text on a terminal and json elsewhere"`
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config {
	return Config{
		Listen:    "127.0.0.1:50051",
		Weight:    1,
		Heartbeat: member.DefaultHeartbeat,
		Reserve:   1 << 30,
		Grace:     20 * time.Second,
		DataPlane: data.Auto,
		LogLevel:  "info",
		LogFormat: string(telemetry.Auto),
	}
}

// Validate implements conf.Validator.
func (c *Config) Validate() error {
	if err := data.CheckPlane(c.DataPlane); err != nil {
		return err
	}
	switch {
	case c.JoinToken == "" && !c.Insecure:
		return errors.New("--join-token (or RINGSTORE_JOIN_TOKEN, or --join-token-file) is required, unless --insecure is given")
	case c.JoinToken != "" && c.Insecure:
		return errors.New("--insecure and --join-token exclude each other")
	case !c.Insecure && rpc.CheckJoinToken(c.JoinToken.Reveal()) != nil:
		return fmt.Errorf("--join-token: %w; make one with: openssl rand -hex 32", rpc.CheckJoinToken(c.JoinToken.Reveal()))
	case c.Weight < 1:
		return errors.New("--weight must be at least 1")
	case c.Heartbeat <= 0 || c.Grace < 0:
		return errors.New("--heartbeat must be positive and --grace must not be negative")
	}
	return nil
}
