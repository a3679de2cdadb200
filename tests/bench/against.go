package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ringstore/ringstore/tests/cluster"
)

// Comparison is one row, measured alternately with two sets of programs.
type Comparison struct {
	Setup   string  `json:"setup"`
	Row     string  `json:"row"`
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	Per     string  `json:"cpu_per"`
	NewRate float64 `json:"new_rate"` // median, in Unit
	OldRate float64 `json:"old_rate"`
	NewCPU  float64 `json:"new_cpu_s"` // median of the seconds for each of Per
	OldCPU  float64 `json:"old_cpu_s"`
	New     Costs   `json:"new_costs"` // medians
	Old     Costs   `json:"old_costs"`
	Rate    Spread  `json:"rate_ratio"`
	CPU     Spread  `json:"cpu_ratio"`
	Verdict string  `json:"verdict"`
}

// Costs are what a row takes besides CPU time.
type Costs struct {
	Device  float64 `json:"device_bytes"` // written to the disks, for each of the row's operations
	Wakeups float64 `json:"wakeups"`      // of the daemons' threads, for each operation
	PeakMiB float64 `json:"peak_mib"`     // resident memory of the daemons together
}

// sample is one run of a row.
type sample struct {
	rate float64
	cpu  float64 // seconds for each of the row's per
	Costs
}

// compare measures rows with both sets of programs. Each has one cluster for all pairs, so that both have the same
// history; they run alternately (new old, old new, ...), so that changes of the machine's speed affect both.
func (r *Report) compare(ctx context.Context, s settings, setup, dir, bin string) (err error) {
	chosen := chooseRows(s.rows)
	if err := checkRoom(dir, chosen, s.pairs); err != nil {
		return err
	}
	sides := [2]*side{}
	for i, from := range []struct{ name, bin string }{{"new", bin}, {"old", s.against}} {
		one, err := startSide(ctx, s, setup, filepath.Join(dir, setup+"-"+from.name), from.name, from.bin)
		if err != nil {
			return fmt.Errorf("%s: %w", from.name, err)
		}
		defer os.RemoveAll(one.dir)
		defer one.c.Close()
		sides[i] = one
	}
	if s.full {
		s.memory = new(memoryUser)
		defer func() { err = errors.Join(err, s.memory.close()) }()
	}
	for _, row := range chosen {
		c, err := comparePairs(ctx, s, row, sides)
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		c.Setup = setup
		r.Comparisons = append(r.Comparisons, c)
		fmt.Fprintf(os.Stderr, "%s %s: rate %v, CPU %v: %s\n", setup, row.name, c.Rate, c.CPU, c.Verdict)
	}
	return nil
}

func chooseRows(names []string) (chosen []row) {
	for _, r := range rows() {
		if len(names) == 0 || slices.Contains(names, r.name) {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

// checkRoom refuses to start if the disk would become full: rows keep what they store until the end of the setup.
func checkRoom(dir string, chosen []row, pairs int) error {
	need := int64(3 << 30) // preallocated segments, and the nodes' reserve
	for _, r := range chosen {
		need += 2 * r.room * int64(max(pairs, 15)) / 15
	}
	free, err := freeSpace(dir)
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("%s has %d MB free and these rows take up to %d MB: try -dir, or fewer -rows", dir, free/1e6, need/1e6)
	}
	return nil
}

func startSide(ctx context.Context, s settings, setup, dir, name, bin string) (*side, error) {
	data := filepath.Join(dir, "cluster")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	program := "s3gateway"
	if setup == "standalone" {
		program += " standalone"
	}
	// Chunks of deleted files are removed at once, so that no run affects the next and the disk does not fill up.
	flags, err := cluster.KeepReplaced(ctx, bin, program, 0)
	if err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Options{Dir: data, Bin: bin, Standalone: setup == "standalone", Durable: true, Gateway: append(flags, s.flags...)})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}
	return &side{name: name, dir: dir, bin: bin, quick: s.quick, c: c, http: &http.Client{Transport: transport}}, nil
}

// comparePairs runs a row alternately, after one run of each that does not count.
func comparePairs(ctx context.Context, s settings, r row, sides [2]*side) (Comparison, error) {
	for _, one := range sides {
		if r.prepare != nil {
			if err := r.prepare(ctx, one); err != nil {
				return Comparison{}, err
			}
		}
		if _, err := measureSide(ctx, s, r, one, sides); err != nil {
			return Comparison{}, err
		}
	}
	var samples [2][]sample
	for pair := range s.pairs {
		for _, i := range [2][2]int{{0, 1}, {1, 0}}[pair%2] {
			one, err := measureSide(ctx, s, r, sides[i], sides)
			if err != nil {
				return Comparison{}, fmt.Errorf("pair %d, %s: %w", pair+1, sides[i].name, err)
			}
			samples[i] = append(samples[i], one)
		}
	}
	return r.comparison(samples[0], samples[1]), nil
}

func (r row) comparison(newer, older []sample) Comparison {
	c := Comparison{Row: r.name, What: r.what, Unit: r.unit, Per: r.per}
	var rates, cpus []float64
	for i := range newer {
		rates = append(rates, newer[i].rate/older[i].rate)
		cpus = append(cpus, newer[i].cpu/older[i].cpu)
	}
	middle := func(all []sample, value func(sample) float64) float64 {
		var values []float64
		for _, one := range all {
			values = append(values, value(one))
		}
		return spreadOf(values).Median
	}
	rate, cpu := func(x sample) float64 { return x.rate }, func(x sample) float64 { return x.cpu }
	c.NewRate, c.OldRate = middle(newer, rate), middle(older, rate)
	c.NewCPU, c.OldCPU = middle(newer, cpu), middle(older, cpu)
	for costs, samples := range map[*Costs][]sample{&c.New: newer, &c.Old: older} {
		costs.Device = middle(samples, func(x sample) float64 { return x.Device })
		costs.Wakeups = middle(samples, func(x sample) float64 { return x.Wakeups })
		costs.PeakMiB = middle(samples, func(x sample) float64 { return x.PeakMiB })
	}
	c.Rate, c.CPU = spreadOf(rates), spreadOf(cpus)
	c.Verdict = verdict(c.Rate, c.CPU)
	return c
}

// measureSide runs a row once, when both clusters are idle.
func measureSide(ctx context.Context, s settings, r row, one *side, sides [2]*side) (sample, error) {
	if r.before != nil {
		if err := r.before(ctx, one); err != nil {
			return sample{}, err
		}
	}
	if err := idle(ctx, sides); err != nil {
		return sample{}, err
	}
	if s.memory != nil {
		if err := s.memory.take(); err != nil {
			return sample{}, err
		}
	}
	if _, err := one.peak(); err != nil {
		return sample{}, err
	}
	before, err := one.counters(r)
	if err != nil {
		return sample{}, err
	}
	count, wall, err := r.run(ctx, one, s.each)
	if err != nil {
		return sample{}, err
	}
	// The deferred work of a request, such as the removal of chunks, is part of its cost.
	if err := idle(ctx, sides); err != nil {
		return sample{}, err
	}
	after, err := one.counters(r)
	if err != nil {
		return sample{}, err
	}
	peak, err := one.peak()
	if err != nil {
		return sample{}, err
	}
	if r.after != nil {
		if err := r.after(ctx, one); err != nil {
			return sample{}, err
		}
	}
	if after.cpu <= before.cpu {
		return sample{}, errors.New("no CPU time was measured: the runs are too short, raise -each")
	}
	amount := r.amount(one)
	ops := float64(count)
	return sample{rate: r.rate(count, amount, wall), cpu: (after.cpu - before.cpu) / (ops * amount), Costs: Costs{
		Device: float64(after.device-before.device) / ops, Wakeups: float64(after.wakeups-before.wakeups) / ops, PeakMiB: peak,
	}}, nil
}

// cpu returns the seconds that the programs measured by the row have used so far.
func (s *side) cpu(r row) (float64, error) {
	if r.tool {
		return s.toolCPU.Seconds(), nil
	}
	u, err := used(s.c)
	return u.gateway + u.nodes, err
}

// idle waits until the daemons of both sides are nearly idle, so that no run affects the next. It waits only a few
// seconds for work that does not end, such as a long compaction.
func idle(ctx context.Context, sides [2]*side) error {
	const window, most = 100 * time.Millisecond, 0.02 // seconds of CPU in a window
	last := 0.0
	for end, calm := time.Now().Add(5*time.Second), 0; calm < 2 && time.Now().Before(end); time.Sleep(window) {
		sum := 0.0
		for _, s := range sides {
			u, err := used(s.c)
			if err != nil {
				return err
			}
			sum += u.gateway + u.nodes
		}
		if calm++; sum-last > most {
			calm = 0
		}
		last = sum
	}
	return ctx.Err()
}

func (r *Report) printComparisons(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "setup\trow\tnew\told\t\trate new/old\tCPU new\tCPU old\t\tCPU new/old\tverdict\t")
	for _, c := range r.Comparisons {
		unit := "us/" + c.Per
		scale := 1e6
		if c.Per == "GB" {
			unit, scale = "s/GB", 1
		}
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%s\t%v\t%.4g\t%.4g\t%s\t%v\t%s\t\n",
			c.Setup, c.Row, c.NewRate, c.OldRate, c.Unit, c.Rate, c.NewCPU*scale, c.OldCPU*scale, unit, c.CPU, c.Verdict)
	}
	fmt.Fprintln(w, "\nsetup\trow\tdisk KB/op\tbefore\twake-ups/op\tbefore\tpeak MiB\tbefore\t")
	for _, c := range r.Comparisons {
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.0f\t%.0f\t\n",
			c.Setup, c.Row, c.New.Device/1e3, c.Old.Device/1e3, c.New.Wakeups, c.Old.Wakeups, c.New.PeakMiB, c.Old.PeakMiB)
	}
	_ = w.Flush()
	fmt.Fprintf(out, "\nmedians (lower to upper quartile) of the ratios of %d pairs; ok: the median of the rate is at least %.2f, that of the CPU time\n"+
		"at most %.2f, or 1 lies between the quartiles\n", len(r.Comparisons[0].Rate.All), leastRate, mostCPU)
}

// rowNames lists the rows for messages.
func rowNames() string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return strings.Join(names, ", ")
}
