package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringstore/ringstore/tests/cluster"
)

// faults injects failures into a running cluster at random moments. All have ended when run returns.
type faults struct {
	t        *testing.T
	c        *cluster.Cluster
	db       database
	lines    []*line // between each gateway and the database
	killing  func(gateway int)
	smallDir string // data directory on a small disk; "": no node has one

	hanging []atomic.Bool // gateways that are unreachable now
}

// fault injects one kind of failure; it returns when the failure has ended.
type fault struct {
	name string
	run  func(ctx context.Context, rng *rand.Rand) error
}

// run injects failures into processes and the database concurrently until ctx ends: each kind once, in random order, repeatedly.
func (f *faults) run(ctx context.Context, seed uint64) error {
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, deck := range [][]fault{f.processes(), f.database()} {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)+1000))
			errs[i] = f.play(ctx, deck, rng)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *faults) play(ctx context.Context, deck []fault, rng *rand.Rand) error {
	began := time.Now()
	for {
		rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, one := range deck {
			if !pause(ctx, 200, 1500, rng) {
				return nil
			}
			f.t.Logf("%6.2f s  %s", time.Since(began).Seconds(), one.name)
			if err := one.run(ctx, rng); err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
		}
	}
}

// pause waits between least and most milliseconds, and reports whether ctx still runs.
func pause(ctx context.Context, least, most int, rng *rand.Rand) bool {
	select {
	case <-time.After(time.Duration(least+rng.IntN(most-least+1)) * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *faults) processes() []fault {
	deck := []fault{
		{"kill -9 of a gateway", f.killGateway},
		{"kill -9 of a gateway", f.killGateway},
		{"SIGSTOP of a gateway", func(ctx context.Context, rng *rand.Rand) error {
			return f.stopGateway(ctx, rng.IntN(len(f.c.Gateways)), 1000, 6000, rng)
		}},
		// Longer than the upkeep lease (15 s): another gateway takes over, then this one resumes.
		{"SIGSTOP of the leader of upkeep", func(ctx context.Context, rng *rand.Rand) error {
			return f.stopGateway(ctx, f.leader(), 16000, 18000, rng)
		}},
		{"kill -9 of a node", f.killNodes(1)},
		{"kill -9 of a node", f.killNodes(1)},
		{"kill -9 of two nodes", f.killNodes(2)},
		{"kill -9 of all nodes but one", f.killNodes(len(f.c.Nodes) - 1)},
		{"SIGSTOP of a node", f.stopNode},
		{"SIGSTOP of a node", f.stopNode},
	}
	if f.smallDir != "" {
		deck = append(deck, fault{"full disk of a node", f.fillDisk})
	}
	return deck
}

func (f *faults) database() []fault {
	deck := []fault{
		{"pg_terminate_backend of all", func(ctx context.Context, _ *rand.Rand) error { return f.db.terminate(context.WithoutCancel(ctx)) }},
		{"database killed", func(ctx context.Context, rng *rand.Rand) error {
			if err := f.c.Database.Kill(); err != nil {
				return err
			}
			pause(ctx, 0, 1500, rng)
			return f.c.Database.Start(context.WithoutCancel(ctx))
		}},
		{"connections to the database broken", func(_ context.Context, rng *rand.Rand) error {
			f.lines[rng.IntN(len(f.lines))].Break()
			return nil
		}},
		{"network to the database cut", func(ctx context.Context, rng *rand.Rand) error {
			l := f.lines[rng.IntN(len(f.lines))]
			l.cut()
			defer l.mend()
			pause(ctx, 1000, 6000, rng)
			return nil
		}},
	}
	for name, lock := range map[string]string{
		"table files": lockFiles, "table parts": lockParts, "rows of buckets": lockBuckets, "rows of some keys": lockKeys,
	} {
		deck = append(deck, fault{"lock on " + name, func(ctx context.Context, rng *rand.Rand) error {
			held, cancel := context.WithTimeout(ctx, 5*time.Second+time.Duration(rng.IntN(4000))*time.Millisecond)
			defer cancel()
			// The lock may wait for others, or its connection may be closed: it then lasts for less time.
			_ = f.db.hold(held, lock, func() {}, nil)
			return nil
		}})
	}
	return sortedDeck(deck)
}

// sortedDeck returns the failures in a fixed order, so that a seed determines the shuffled one.
func sortedDeck(deck []fault) []fault {
	for i := range deck {
		for j := i; j > 0 && deck[j].name < deck[j-1].name; j-- {
			deck[j], deck[j-1] = deck[j-1], deck[j]
		}
	}
	return deck
}

func (f *faults) killGateway(ctx context.Context, rng *rand.Rand) error {
	i := rng.IntN(len(f.c.Gateways))
	f.hanging[i].Store(true)
	defer f.hanging[i].Store(false)
	f.t.Logf("          it is gateway %d", i+1)
	f.killing(i)
	if err := f.c.Gateways[i].Kill(); err != nil {
		return err
	}
	f.killing(i) // also the writes that began in between
	pause(ctx, 0, 3000, rng)
	return f.c.StartGateway(context.WithoutCancel(ctx), i) // the database may be away at the same time
}

func (f *faults) stopGateway(ctx context.Context, i, least, most int, rng *rand.Rand) error {
	f.hanging[i].Store(true)
	defer f.hanging[i].Store(false)
	return stopFor(ctx, f.c.Gateways[i], least, most, rng)
}

func (f *faults) stopNode(ctx context.Context, rng *rand.Rand) error {
	return stopFor(ctx, f.c.Nodes[rng.IntN(len(f.c.Nodes))], 1000, 7000, rng)
}

func stopFor(ctx context.Context, p *cluster.Process, least, most int, rng *rand.Rand) error {
	if err := p.Pause(); err != nil {
		return err
	}
	pause(ctx, least, most, rng)
	return p.Resume()
}

func (f *faults) killNodes(n int) func(ctx context.Context, rng *rand.Rand) error {
	return func(ctx context.Context, rng *rand.Rand) error {
		chosen := rng.Perm(len(f.c.Nodes))[:n]
		for _, i := range chosen {
			if err := f.c.Nodes[i].Kill(); err != nil {
				return err
			}
		}
		pause(ctx, 0, 4000, rng)
		for _, i := range chosen {
			if err := f.c.Nodes[i].Start(); err != nil {
				return err
			}
		}
		return nil
	}
}

// leads is what a gateway logs when it becomes the leader of upkeep.
const leads = "this gateway runs the upkeep now"

// leader returns the gateway that last logged that it runs the upkeep, or the first if the logs do not say.
func (f *faults) leader() int {
	const all = 1 << 20
	leader, last := 0, ""
	for i, g := range f.c.Gateways {
		for line := range strings.SplitSeq(g.Tail(all), "\n") {
			if strings.Contains(line, leads) && line > last { // a line begins with its time
				leader, last = i, line
			}
		}
	}
	return leader
}

// fillDisk fills the small disk completely for a while.
func (f *faults) fillDisk(ctx context.Context, rng *rand.Rand) error {
	path := filepath.Join(f.smallDir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	for _, piece := range [][]byte{make([]byte, 1<<20), make([]byte, 4<<10)} {
		for err = nil; err == nil; {
			_, err = file.Write(piece)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	pause(ctx, 2000, 6000, rng)
	return nil
}
