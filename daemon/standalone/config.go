package standalone

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ringstore/ringstore/daemon/gateway"
	"github.com/ringstore/ringstore/daemon/internal/conf"
)

// Config holds all settings of a standalone process.
type Config struct {
	gateway.Settings
	Data    string    `conf:"data" arg:"DIR" required:"true" help:"directory for metadata, keys and, without --disk, the nodes"`
	Nodes   int       `conf:"nodes" arg:"N" help:"number of storage nodes, each under DIR/nodes; not with --disk"`
	Disks   []string  `conf:"disk" arg:"DIR" help:"directory of one storage node on a disk of its own; may be repeated, instead of --nodes"`
	Reserve conf.Size `conf:"reserve" arg:"SIZE" help:"space on each disk that chunks leave free"`
}

const (
	defaultNodes = 6
	maxNodes     = 64
)

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	c := Config{Settings: gateway.DefaultSettings(), Reserve: 1 << 30}
	return c
}

// Validate implements conf.Validator.
func (c *Config) Validate() error {
	if err := c.Settings.Validate(); err != nil {
		return err
	}
	switch {
	case len(c.Disks) > 0 && c.Nodes > 0:
		return errors.New("--nodes and --disk exclude each other: each --disk is one node")
	case c.Nodes < 0 || c.Nodes > maxNodes || len(c.Disks) > maxNodes:
		return fmt.Errorf("--nodes must be within 1..%d", maxNodes)
	}
	return nil
}

// directories returns the names and data directories of the nodes.
func (c *Config) directories() (names, dirs []string) {
	if len(c.Disks) > 0 {
		for i, d := range c.Disks {
			names, dirs = append(names, fmt.Sprintf("node-%d", i+1)), append(dirs, d)
		}
		return names, dirs
	}
	n := c.Nodes
	if n == 0 {
		n = defaultNodes
	}
	for i := range n {
		name := fmt.Sprintf("node-%d", i+1)
		names, dirs = append(names, name), append(dirs, filepath.Join(c.Data, "nodes", name))
	}
	return names, dirs
}
