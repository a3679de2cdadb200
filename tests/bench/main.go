// Command bench measures Ringstore on this machine, and in the same run the limits of the machine, so that every figure
// is also a ratio.
//
// It starts real processes: a gateway with six nodes on a durable PostgreSQL, and standalone. Its own client shares the
// machine with them.
//
//	make bench                                  the whole table, about ten minutes
//	make bench BENCH='-quick'                   small and short, to check that it works
//	make bench BENCH='-setups cluster -sizes 4KiB,1GiB -json out.json'
//	make bench BENCH='-setups cluster -sizes 4KiB -at-once 8'     only small puts beside a hung node
//	make bench BENCH='-tool'                    s3ctl instead: one large file, directly and over a link of 20 ms, many small ones, sync
//	make bench BENCH='-tool -sizes 1GiB'        s3ctl, the large file only
//	make bench BENCH='-against FOLDER'          these programs alternating with those of FOLDER: medians of the ratios
//	make bench BENCH='-against FOLDER -rows put4k,get4k -pairs 31 -setups cluster'
//	make bench BENCH='-against FOLDER -rows put64m,get64m -full-memory'      the same with the memory used up
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ringstore/ringstore/tests/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type settings struct {
	setups []string
	sizes  []string
	lanes  int
	json   string
	dir    string
	quick  bool
	full   bool // each run begins with the memory used up
	memory *memoryUser
	tool   bool
	time   time.Duration
	flags  []string // of the gateway

	bin     string // folder of the programs; "": they are built
	against string // folder of the programs to compare with; "": no comparison
	rows    []string
	pairs   int
	each    time.Duration
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	setups := f.String("setups", "cluster,standalone", "what to run: cluster (separate processes, PostgreSQL), standalone")
	sizes := f.String("sizes", "4KiB,1MiB,64MiB,1GiB", "file sizes to measure")
	f.IntVar(&s.lanes, "at-once", 0, "measure only with so many requests at once; 0: all that the size has")
	gateway := f.String("gateway", "", "further flags of the gateway, separated by spaces")
	f.StringVar(&s.json, "json", "", "write the results to this file as JSON")
	f.StringVar(&s.dir, "dir", "", "directory on the disk to measure; default: the temporary directory")
	f.BoolVar(&s.quick, "quick", false, "a tenth of the time and data")
	f.BoolVar(&s.full, "full-memory", false, "with -against, measure with the memory used up")
	f.BoolVar(&s.tool, "tool", false, "measure s3ctl instead of the server")
	f.DurationVar(&s.time, "time", 8*time.Second, "how long each of the small measurements runs")
	f.StringVar(&s.bin, "bin", "", "folder of the programs to measure; by default they are built from this tree")
	f.StringVar(&s.against, "against", "", "folder of s3gateway, s3storage and s3ctl to compare with, run by run in turn")
	rows := f.String("rows", "", "with -against, which rows; default: all ("+rowNames()+")")
	f.IntVar(&s.pairs, "pairs", 15, "with -against, runs of each row and side")
	f.DurationVar(&s.each, "each", time.Second, "with -against, how long a run of a small row lasts")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.rows, s.against = splitRows(*rows), absolute(s.against); s.against == "" && len(s.rows) > 0 {
		return s, errors.New("-rows needs -against")
	}
	s.bin = absolute(s.bin)
	for _, name := range s.rows {
		if len(chooseRows([]string{name})) == 0 {
			return s, fmt.Errorf("row %q is not one of %s", name, rowNames())
		}
	}
	if s.pairs < 1 {
		return s, fmt.Errorf("-pairs %d: at least one is needed", s.pairs)
	}
	s.setups, s.sizes, s.flags = strings.Split(*setups, ","), strings.Split(*sizes, ","), strings.Fields(*gateway)
	for _, name := range s.sizes {
		if _, ok := cases[name]; !ok {
			return s, fmt.Errorf("size %q is not one of 4KiB, 1MiB, 64MiB, 1GiB", name)
		}
	}
	for _, name := range s.setups {
		if name != "cluster" && name != "standalone" {
			return s, fmt.Errorf("setup %q is not one of cluster, standalone", name)
		}
	}
	if s.quick {
		s.time /= 10
	}
	return s, nil
}

func splitRows(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, ",")
}

// absolute makes a path absolute; "" is kept.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil && path != "" {
		return full
	}
	return path
}

// programs returns the folder of the programs to measure, and checks that those to compare with exist.
func (s settings) programs(ctx context.Context, dir string) (string, error) {
	for _, folder := range []string{s.bin, s.against} {
		for _, name := range []string{"s3gateway", "s3storage", "s3ctl"} {
			if folder == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
				return "", fmt.Errorf("the folder of programs is not complete: %w", err)
			}
		}
	}
	if s.bin != "" {
		return s.bin, nil
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", err
	}
	return bin, cluster.Build(ctx, bin)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "ringstore-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := s.programs(ctx, dir)
	if err != nil {
		return err
	}
	report := Report{Machine: machine(), Started: time.Now().UTC()}
	measure := report.measureSetup
	switch {
	case s.against != "":
		measure = report.compare
	case s.tool:
		measure = report.measureTool
	}
	if s.against == "" {
		if report.Baseline, err = measureBaseline(ctx, dir, s.quick); err != nil {
			return err
		}
	}
	for _, setup := range s.setups {
		if err := measure(ctx, s, setup, dir, bin); err != nil {
			return fmt.Errorf("%s: %w", setup, err)
		}
	}
	report.print(out)
	if s.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.json, append(b, '\n'), 0o644)
}
