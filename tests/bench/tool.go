package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringstore/ringstore/tests/cluster"
)

// ToolResult is one measurement of s3ctl in its own process.
type ToolResult struct {
	Setup    string  `json:"setup"`
	What     string  `json:"what"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"rate"` // in Unit
	Unit     string  `json:"unit"`
	CPUPerGB float64 `json:"cpu_s_per_gb,omitempty"` // of s3ctl alone
	Against  string  `json:"against,omitempty"`      // what Ratio compares with
	Ratio    float64 `json:"ratio,omitempty"`
}

// tool runs s3ctl against a cluster, and compares it with the loader.
type tool struct {
	settings
	setup string
	dir   string // for local files
	bin   string
	c     *cluster.Cluster
	out   []ToolResult
}

// toolLanes is the number of concurrent requests of s3ctl, and of the loader that it is compared with.
const toolLanes = 8

// toolRounds is how often each large file is transferred, and toolSpace the number of copies of it for which there must be
// space: the source, the target, and the stored file with parity.
const (
	toolRounds = 5
	toolSpace  = 6
)

func (r *Report) measureTool(ctx context.Context, s settings, setup, dir, bin string) (err error) {
	data := filepath.Join(dir, setup)
	files := filepath.Join(dir, "files")
	for _, d := range []string{data, files} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
		defer os.RemoveAll(d)
	}
	c, err := cluster.Start(ctx, cluster.Options{Dir: data, Bin: bin, Standalone: setup == "standalone", Durable: true, Gateway: s.flags})
	if err != nil {
		return err
	}
	defer func() {
		if closed := c.Close(); err == nil {
			err = closed
		}
	}()
	t := &tool{settings: s, setup: setup, dir: files, bin: bin, c: c}
	for _, step := range []struct {
		size string
		run  func(context.Context) error
	}{{"1GiB", t.large}, {"4KiB", t.small}, {"4KiB", t.unchanged}} {
		if !slices.Contains(s.sizes, step.size) {
			continue
		}
		if err := step.run(ctx); err != nil {
			return err
		}
	}
	r.Tool = append(r.Tool, t.out...)
	return nil
}

// large compares a parallel upload of one file with a single request that sends the same file, directly and over a
// link.
func (t *tool) large(ctx context.Context) error {
	size := int64(1 << 30)
	if t.quick {
		size /= 10
	}
	free, err := freeSpace(t.dir)
	if err != nil {
		return err
	}
	if free < toolSpace*size {
		return fmt.Errorf("%s has %d bytes free; this takes %d: try -dir or -quick", t.dir, free, toolSpace*size)
	}
	source, target := filepath.Join(t.dir, "large"), filepath.Join(t.dir, "target")
	want := randomBytes(int(size))
	if err := os.WriteFile(source, want, 0o644); err != nil {
		return err
	}
	if err := t.parallel(ctx, "1 GiB", source, size); err != nil {
		return err
	}
	if _, err := t.move(ctx, "put", source, "s3://default/large"); err != nil {
		return err
	}
	var get []outcome
	for range toolRounds {
		_ = os.Remove(target)
		one, err := t.move(ctx, "get", "s3://default/large", target)
		if err != nil {
			return err
		}
		get = append(get, one)
	}
	got, err := os.ReadFile(target)
	if err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("what s3ctl fetched differs: %w", err)
	}
	mb := float64(size) / 1e6
	t.add("get of 1 GiB", mb, "MB/s", median(get), mb/1e3, "", 0)
	if err := t.clear(ctx, size); err != nil {
		return err
	}
	return t.far(ctx, source, size)
}

// far is parallel over a link.
func (t *tool) far(ctx context.Context, source string, size int64) error {
	l, err := newLink(strings.TrimPrefix(t.c.URL, "http://"))
	if err != nil {
		return err
	}
	near, away := t.c, *t.c
	away.URL = "http://" + l.Address
	t.c = &away
	err = t.parallel(ctx, "1 GiB over a link", source, size)
	t.c = near
	return errors.Join(err, l.Close())
}

// clear removes the large file that is stored, and waits until most of its space is free, so that the next measurement
// pays neither for that nor for page cache memory.
func (t *tool) clear(ctx context.Context, size int64) error {
	before, err := freeSpace(t.dir)
	if err != nil {
		return err
	}
	if _, err := t.s3ctl(ctx, "rm", "s3://default/large"); err != nil {
		return err
	}
	limit := time.Now().Add(time.Minute)
	for free := before; free < before+size*3/2; time.Sleep(100 * time.Millisecond) {
		if free, err = freeSpace(t.dir); err != nil {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("removed files still take up space in %s: is another program writing there?", t.dir)
		}
	}
	return nil
}

func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// parallel alternates the two: since the speed of the machine changes within seconds, the ratio is the median over neighbouring runs.
func (t *tool) parallel(ctx context.Context, what, source string, size int64) error {
	load := newLoader(t.c, t.setup, 0)
	defer load.close()
	var single, put []outcome
	var ratios []float64
	for range toolRounds {
		began := time.Now()
		if _, err := load.putFile(ctx, "large", source); err != nil {
			return err
		}
		alone := outcome{wall: time.Since(began)}
		if err := t.clear(ctx, size); err != nil {
			return err
		}
		one, err := t.move(ctx, "put", source, "s3://default/large")
		if err != nil {
			return err
		}
		if err := t.clear(ctx, size); err != nil {
			return err
		}
		single, put = append(single, alone), append(put, one)
		ratios = append(ratios, alone.wall.Seconds()/one.wall.Seconds())
	}
	slices.Sort(ratios)
	mb := float64(size) / 1e6
	t.add("single stream of "+what+", the loader's", mb, "MB/s", median(single), 0, "", 0)
	t.add("put of "+what, mb, "MB/s", median(put), mb/1e3, "single stream", ratios[len(ratios)/2])
	return nil
}

// small compares put -r of many small files with the loader at the same concurrency.
func (t *tool) small(ctx context.Context) error {
	count := 10000
	if t.quick {
		count /= 10
	}
	load := newLoader(t.c, t.setup, 4<<10)
	defer load.close()
	tree := filepath.Join(t.dir, "small")
	if err := writeTree(tree, count, load.body); err != nil {
		return err
	}
	took, wall, err := drive(ctx, toolLanes, count, 0, func(ctx context.Context, _, n int) error {
		_, err := load.put(ctx, fmt.Sprint("load/", n))
		return err
	})
	if err != nil {
		return err
	}
	base := float64(len(took)) / wall.Seconds()
	put, err := t.move(ctx, "put", "-r", tree, "s3://default/")
	if err != nil {
		return err
	}
	t.add(fmt.Sprintf("%d files of 4 KiB, the loader's", count), float64(count), "files/s", outcome{wall: wall}, 0, "", 0)
	t.add(fmt.Sprintf("put -r of %d files of 4 KiB", count), float64(count), "files/s", put, 0, "the loader", float64(count)/put.wall.Seconds()/base)
	return nil
}

// unchanged measures how long sync takes to find that nothing has changed.
func (t *tool) unchanged(ctx context.Context) error {
	count := 100000
	if t.quick {
		count /= 10
	}
	tree := filepath.Join(t.dir, "unchanged")
	if err := writeTree(tree, count, []byte("small")); err != nil {
		return err
	}
	first, err := t.move(ctx, "sync", tree, "s3://default/unchanged")
	if err != nil {
		return err
	}
	again, err := t.move(ctx, "sync", tree, "s3://default/unchanged")
	if err != nil {
		return err
	}
	t.add(fmt.Sprintf("sync of %d new files", count), float64(count), "files/s", first, 0, "", 0)
	t.add(fmt.Sprintf("sync of %d unchanged files", count), float64(count), "files/s", again, 0, "", 0)
	return nil
}

// outcome is one run of a program.
type outcome struct {
	wall time.Duration
	cpu  time.Duration
}

// move runs a command of s3ctl that transfers files.
func (t *tool) move(ctx context.Context, args ...string) (outcome, error) {
	return t.s3ctl(ctx, append(args, "--parallel", fmt.Sprint(toolLanes))...)
}

func (t *tool) s3ctl(ctx context.Context, args ...string) (outcome, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, "s3ctl"), append([]string{"--quiet"}, args...)...)
	cmd.Env = t.c.Environ()
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return outcome{}, fmt.Errorf("s3ctl %v: %w\n%s", args, err, out)
	}
	return outcome{time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// add records a result; gb divides the CPU time, 0 for none.
func (t *tool) add(what string, amount float64, unit string, r outcome, gb float64, against string, ratio float64) {
	x := ToolResult{Setup: t.setup, What: what, Seconds: r.wall.Seconds(), Rate: amount / r.wall.Seconds(), Unit: unit, Against: against, Ratio: ratio}
	if gb > 0 {
		x.CPUPerGB = r.cpu.Seconds() / gb
	}
	fmt.Fprintf(os.Stderr, "%s %s: %.1f s, %.0f %s\n", x.Setup, x.What, x.Seconds, x.Rate, x.Unit)
	t.out = append(t.out, x)
}

func median(runs []outcome) outcome {
	sorted := slices.SortedFunc(slices.Values(runs), func(a, b outcome) int { return int(a.wall - b.wall) })
	return sorted[len(sorted)/2]
}

// writeTree creates files of equal content, a hundred in each folder.
func writeTree(root string, count int, body []byte) error {
	for i := range count {
		dir := filepath.Join(root, fmt.Sprintf("%04d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d", i%100)), body, 0o644); err != nil {
			return err
		}
	}
	return nil
}
