package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ringstore/ringstore/tests/cluster"
)

// hungLanes is how many puts are sent at once beside a hung node.
const hungLanes = 8

// besideHungNode measures small puts from the moment on at which one of the nodes hangs: its process is stopped, so that its connections stay
// open and nothing on them is answered. The first puts wait for it, and find others; the later ones know.
func besideHungNode(ctx context.Context, c *cluster.Cluster, quick bool) (results []Result, err error) {
	count := 600
	if quick {
		count = 100
	}
	load := newLoader(c, "cluster", smallSize)
	defer load.close()
	puts := func(op string) error {
		took, wall, err := drive(ctx, hungLanes, count, 0, func(ctx context.Context, _, n int) error {
			_, err := load.put(ctx, fmt.Sprint(op, "/", n))
			return err
		})
		if err != nil {
			return err
		}
		results = append(results, Result{
			Setup: "cluster", Op: op, Size: "4KiB", Lanes: hungLanes, Count: len(took), OpsPerS: float64(len(took)) / wall.Seconds(),
			P50: ms(took[len(took)/2]), P99: ms(took[len(took)*99/100]),
		})
		return nil
	}
	if err := puts("put, all nodes"); err != nil {
		return nil, err
	}
	if err := c.Nodes[0].Pause(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Nodes[0].Resume()) }()
	if err := puts("put, a node hangs"); err != nil {
		return nil, err
	}
	return results, puts("put, and later")
}
