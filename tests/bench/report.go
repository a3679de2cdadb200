package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ringstore/ringstore/tests/cluster"
)

// Report is the result of a run.
type Report struct {
	Started  time.Time    `json:"started"`
	Machine  Machine      `json:"machine"`
	Baseline Baseline     `json:"baseline,omitzero"`
	Results  []Result     `json:"results,omitempty"`
	Tool     []ToolResult `json:"tool,omitempty"`

	Comparisons []Comparison `json:"comparisons,omitempty"`
}

// Result is one measurement. MB are 10^6 bytes, GB 10^9.
type Result struct {
	Setup      string  `json:"setup"`
	Op         string  `json:"op"`
	Size       string  `json:"size"`
	Lanes      int     `json:"lanes"`
	Count      int     `json:"count"`
	OpsPerS    float64 `json:"ops_per_s"`
	MBps       float64 `json:"mb_per_s"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	CPUPerGB   float64 `json:"cpu_s_per_gb"`  // gateway and nodes
	GatewayCPU float64 `json:"gateway_cpu_s"` // in all
	NodesCPU   float64 `json:"nodes_cpu_s"`   // in all; 0 when standalone
	ClientCPU  float64 `json:"client_cpu_s"`  // in all
	GatewayMiB float64 `json:"gateway_peak_mib"`
	StoredMBps float64 `json:"stored_mb_per_s,omitempty"` // put: including parity or copies
	DiskMBps   float64 `json:"disk_mb_per_s,omitempty"`   // put of large files: mean of six writers immediately before and after
	DiskRatio  float64 `json:"disk_ratio,omitempty"`
	TCPRatio   float64 `json:"tcp_ratio,omitempty"` // get: relative to a plain TCP copy
}

func (r *Report) measureSetup(ctx context.Context, s settings, setup, dir, bin string) error {
	for _, size := range s.sizes {
		for _, lanes := range cases[size].lanes {
			if s.lanes != 0 && lanes != s.lanes {
				continue
			}
			// A new cluster each, so that no measurement affects the next.
			err := r.measureCase(ctx, s, setup, dir, bin, func(c *cluster.Cluster) ([]Result, error) {
				m := &measurement{settings: s, setup: setup, size: size, lanes: lanes, dir: dir, base: r.Baseline, load: newLoader(c, setup, sizeOf(size, s.quick))}
				defer m.load.close()
				return m.run(ctx)
			})
			if err != nil {
				return fmt.Errorf("%s, %d at once: %w", size, lanes, err)
			}
		}
	}
	if setup != "cluster" || !slices.Contains(s.sizes, "4KiB") || s.lanes != 0 && s.lanes != hungLanes {
		return nil
	}
	err := r.measureCase(ctx, s, setup, dir, bin, func(c *cluster.Cluster) ([]Result, error) { return besideHungNode(ctx, c, s.quick) })
	if err != nil {
		return fmt.Errorf("beside a hung node: %w", err)
	}
	return nil
}

// measureCase adds what run measures of a cluster of its own.
func (r *Report) measureCase(ctx context.Context, s settings, setup, dir, bin string, run func(*cluster.Cluster) ([]Result, error)) error {
	data := filepath.Join(dir, setup)
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(data)
	c, err := cluster.Start(ctx, cluster.Options{Dir: data, Bin: bin, Standalone: setup == "standalone", Durable: true, Gateway: s.flags})
	if err != nil {
		return err
	}
	results, err := run(c)
	r.Results = append(r.Results, results...)
	for _, x := range results {
		fmt.Fprintf(os.Stderr, "%s %s %s, %d at once: %.0f/s, %.1f MB/s, p99 %.1f ms\n", x.Setup, x.Op, x.Size, x.Lanes, x.OpsPerS, x.MBps, x.P99)
	}
	return errors.Join(err, c.Close())
}

func sizeOf(size string, quick bool) int64 {
	n := cases[size].size
	if quick && n > 16<<20 {
		n /= 10
	}
	return n
}

// measurement is a case in progress.
type measurement struct {
	settings
	setup, size string
	lanes       int
	dir         string
	base        Baseline
	load        *loader
}

func (m *measurement) run(ctx context.Context) ([]Result, error) {
	count := cases[m.size].count
	if count == 0 { // warm up connections, caches and preallocated files
		if _, _, err := drive(ctx, m.lanes, 0, m.time/8, func(ctx context.Context, _, n int) error {
			_, err := m.load.put(ctx, fmt.Sprint("warm-", n))
			return err
		}); err != nil {
			return nil, err
		}
	}
	before, err := m.disk(ctx)
	if err != nil {
		return nil, err
	}
	ids, put, err := m.puts(ctx, count)
	if err != nil {
		return nil, err
	}
	after, err := m.disk(ctx)
	if err != nil {
		return nil, err
	}
	if put.DiskMBps = (before + after) / 2; put.DiskMBps > 0 {
		put.DiskRatio = put.StoredMBps / put.DiskMBps
	}
	get, err := m.gets(ctx, ids, count)
	if err != nil {
		return nil, err
	}
	get.TCPRatio = get.MBps / m.base.TCPMBps
	del, err := m.measure(ctx, "delete", len(ids), func(ctx context.Context, _, n int) error { return m.load.delete(ctx, ids[n]) })
	return []Result{put, get, del}, err
}

// disk measures six writers immediately before and after a large put, because the speed of a shared disk varies.
func (m *measurement) disk(ctx context.Context) (float64, error) {
	if cases[m.size].count == 0 {
		return 0, nil
	}
	total := int64(1792 << 20)
	if m.quick {
		total /= 10
	}
	return diskRate(ctx, m.dir, total)
}

func (m *measurement) puts(ctx context.Context, count int) ([]string, Result, error) {
	ids := make(chan string, 1<<20)
	put, err := m.measure(ctx, "put", count, func(ctx context.Context, _, n int) error {
		id, err := m.load.put(ctx, fmt.Sprintf("%s/%d/%d", m.size, m.lanes, n))
		ids <- id
		return err
	})
	close(ids)
	put.StoredMBps = put.MBps * m.overhead()
	var all []string
	for id := range ids {
		all = append(all, id)
	}
	return all, put, err
}

// overhead is stored bytes per user byte on six nodes that survive two failures:
// three copies of small files, 6+4 chunks of large ones.
func (m *measurement) overhead() float64 {
	if cases[m.size].size <= 256<<10 {
		return 3
	}
	return 10.0 / 6
}

func (m *measurement) gets(ctx context.Context, ids []string, count int) (Result, error) {
	bufs := make([][]byte, m.lanes)
	for i := range bufs {
		bufs[i] = make([]byte, 1<<20)
	}
	if count > 0 {
		count = max(count, 4)
	}
	return m.measure(ctx, "get", count, func(ctx context.Context, lane, n int) error {
		return m.load.get(ctx, ids[n%len(ids)], bufs[lane])
	})
}

func (m *measurement) measure(ctx context.Context, op string, count int, f func(ctx context.Context, lane, n int) error) (Result, error) {
	res := Result{Setup: m.setup, Op: op, Size: m.size, Lanes: m.lanes}
	c := m.load.c
	if err := resetPeak(c.Gateway.PID()); err != nil {
		return res, err
	}
	before, err := used(c)
	if err != nil {
		return res, err
	}
	own := ownCPU()
	limit := m.time
	if cases[m.size].count > 0 {
		limit = 0 // large files: as many as the case says
	}
	took, wall, err := drive(ctx, m.lanes, count, limit, f)
	if err != nil {
		return res, err
	}
	res.ClientCPU = ownCPU() - own
	after, err := used(c)
	if err != nil {
		return res, err
	}
	res.GatewayCPU, res.NodesCPU = after.gateway-before.gateway, after.nodes-before.nodes
	if res.GatewayMiB, err = peakMiB(c.Gateway.PID()); err != nil {
		return res, err
	}
	res.Count = len(took)
	res.OpsPerS = float64(len(took)) / wall.Seconds()
	res.P50, res.P99 = ms(took[len(took)/2]), ms(took[len(took)*99/100])
	if op != "delete" {
		bytes := float64(len(took)) * float64(len(m.load.body))
		res.MBps = bytes / 1e6 / wall.Seconds()
		res.CPUPerGB = (res.GatewayCPU + res.NodesCPU) / (bytes / 1e9)
	}
	return res, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func (r *Report) print(out io.Writer) {
	fmt.Fprintf(out, "machine: %d CPUs, %s, Linux %s, %s\n", r.Machine.CPUs, r.Machine.Model, r.Machine.Kernel, r.Machine.Go)
	if len(r.Comparisons) > 0 {
		r.printComparisons(out)
		return
	}
	fmt.Fprintf(out, "at best: disk %.0f MB/s (six writers, then fdatasync), %.0f durable 4 KiB writes/s (six writers), TCP %.0f MB/s at %.2f CPU s/GB\n\n",
		r.Baseline.DiskMBps, r.Baseline.SyncsPerS, r.Baseline.TCPMBps, r.Baseline.TCPCPUSecs)
	if len(r.Tool) > 0 {
		r.printTool(out)
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "setup\top\tsize\tat once\tcount\tops/s\tMB/s\tp50 ms\tp99 ms\tCPU s/GB\tgateway MiB\tof disk\tof TCP\t")
	for _, x := range r.Results {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%.0f\t%s\t%.1f\t%.1f\t%s\t%s\t%s\t%s\t\n",
			x.Setup, x.Op, x.Size, x.Lanes, x.Count, x.OpsPerS, measured("%.1f", x.MBps), x.P50, x.P99, measured("%.2f", x.CPUPerGB), measured("%.0f", x.GatewayMiB),
			measured("%.0f%%", x.DiskRatio*100), measured("%.0f%%", x.TCPRatio*100))
	}
	_ = w.Flush()
}

func (r *Report) printTool(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "setup\twhat\tseconds\trate\t\ts3ctl CPU s/GB\tratio\t")
	for _, x := range r.Tool {
		cpu, ratio := "-", "-"
		if x.CPUPerGB > 0 {
			cpu = fmt.Sprintf("%.2f", x.CPUPerGB)
		}
		if x.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f of %s", x.Ratio, x.Against)
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.0f\t%s\t%s\t%s\t\n", x.Setup, x.What, x.Seconds, x.Rate, x.Unit, cpu, ratio)
	}
	_ = w.Flush()
}

// measured formats a figure; 0 is one that was not measured.
func measured(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}
