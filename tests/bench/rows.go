package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringstore/ringstore/tests/cluster"
)

// side is the cluster of one of the two sets of programs, and what the rows have stored in it.
type side struct {
	name  string
	dir   string
	bin   string
	quick bool
	c     *cluster.Cluster
	http  *http.Client

	next      int           // makes names unique
	small     []string      // ids of files of 4 KiB
	medium    []string      // of 1 MiB
	big       []string      // of 64 MiB
	bigPut    []string      // those of the last run of puts
	large     string        // of largeSize
	doomedIDs []string      // for the next run of deletes
	toolCPU   time.Duration // of all runs of s3ctl
}

// row is one operation that is measured on both sides in turn.
type row struct {
	name string
	what string
	unit string  // of the rate, per second
	per  string  // the unit by which CPU seconds are divided
	size float64 // how many of per an operation is
	tool bool    // its CPU time is that of s3ctl and not that of the daemons
	room int64   // bytes that the row leaves on the disk of one side in 15 pairs

	prepare func(ctx context.Context, s *side) error                                        // once; nil: nothing
	before  func(ctx context.Context, s *side) error                                        // before each run, unmeasured; nil: nothing
	run     func(ctx context.Context, s *side, d time.Duration) (int, time.Duration, error) // returns the number of operations and the time taken
	after   func(ctx context.Context, s *side) error                                        // after each run, unmeasured; nil: nothing
}

const (
	smallSize  = 4 << 10
	mediumSize = 1 << 20
	bigSize    = 64 << 20
	largeFile  = 1 << 30
	toolFile   = 256 << 20
	toolFiles  = 1000 // small ones
	gigabyte   = 1e9
)

func rows() []row {
	const mib, gib = 1 << 20, 1 << 30
	return []row{
		{name: "put4k", what: "put 4 KiB, 16 at once", unit: "/s", per: "op", size: 1, room: gib, run: putFor(16, smallSize, 0)},
		{name: "get4k", what: "get 4 KiB, 16 at once", unit: "/s", per: "op", size: 1, room: 256 * mib, prepare: storeSmall, run: getFor(16, smallIDs)},
		{name: "put1m", what: "put 1 MiB, 8 at once", unit: "MB/s", per: "GB", size: mediumSize / gigabyte, room: 6 * gib, run: putFor(8, mediumSize, 200)},
		{name: "get1m", what: "get 1 MiB, 8 at once", unit: "MB/s", per: "GB", size: mediumSize / gigabyte, room: 512 * mib, prepare: storeMedium, run: getFor(8, mediumIDs)},
		{name: "mixed1m", what: "half gets, half puts, 1 MiB, 8 at once", unit: "MB/s", per: "GB", size: mediumSize / gigabyte, room: 3 * gib, prepare: storeMedium, run: mixedMediumFor(8, 200)},
		{name: "put64m", what: "put 64 MiB, 4 at once", unit: "MB/s", per: "GB", size: bigSize / gigabyte, room: 8 * gib, run: putBig, after: removeBig},
		{name: "get64m", what: "get 64 MiB, 4 at once", unit: "MB/s", per: "GB", size: bigSize / gigabyte, room: gib, prepare: storeBig, run: getBig},
		{name: "put1g", what: "put 1 GiB", unit: "MB/s", per: "GB", size: largeFile / gigabyte, room: 2 * gib, run: putLarge, after: removeLarge},
		{name: "get1g", what: "get 1 GiB", unit: "MB/s", per: "GB", size: largeFile / gigabyte, room: 2 * gib, prepare: storeLarge, run: getLarge},
		{name: "stat", what: "headers of a file, 16 at once", unit: "/s", per: "op", size: 1, prepare: storeSmall, run: statFor(16)},
		{name: "list", what: "pages of 1000 of 3000 names, 4 at once", unit: "/s", per: "op", size: 1, prepare: storeSmall, run: listFor(4)},
		{name: "delete", what: "delete 4 KiB, 16 at once", unit: "/s", per: "op", size: 1, room: 512 * mib, before: storeDoomed, run: deleteDoomed(16)},
		{name: "mixed", what: "half gets, a quarter puts, stats and deletes, 4 KiB, 16 at once", unit: "/s", per: "op", size: 1, room: 512 * mib, prepare: storeSmall, run: mixedFor(16)},
		{name: "s3ctl-put", what: "s3ctl put of 256 MiB", unit: "MB/s", per: "GB", size: toolFile / gigabyte, tool: true, room: gib, prepare: writeToolFile, run: toolPut, after: toolRemove},
		{name: "s3ctl-get", what: "s3ctl get of 256 MiB", unit: "MB/s", per: "GB", size: toolFile / gigabyte, tool: true, room: gib, prepare: putToolFile, run: toolGet, after: removeTarget},
		{name: "s3ctl-many", what: "s3ctl put -r of 1000 files of 4 KiB", unit: "/s", per: "op", size: 1, tool: true, room: gib, prepare: writeToolTree, run: toolMany},
	}
}

// rate returns operations per second in the row's unit; each operation is amount of the row's per.
func (r row) rate(count int, amount float64, wall time.Duration) float64 {
	ops := float64(count) / wall.Seconds()
	if r.unit == "MB/s" {
		return ops * amount * 1e3
	}
	return ops
}

// amount is how many of the row's per an operation is on a side.
func (r row) amount(s *side) float64 {
	if r.per == "GB" {
		return float64(s.scale(int64(math.Round(r.size*gigabyte)))) / gigabyte
	}
	return r.size
}

func (s *side) loader(size int64) *loader {
	return &loader{c: s.c, http: s.http, body: randomBytes(int(s.scale(size))), bucket: "default"}
}

// scale reduces large files in a quick run.
func (s *side) scale(size int64) int64 {
	if s.quick && size > 16<<20 {
		return size / 10
	}
	return size
}

func (s *side) name1(kind string) string {
	s.next++
	return fmt.Sprintf("%s/%d", kind, s.next)
}

// store puts count files and returns their ids.
func (s *side) store(ctx context.Context, kind string, size int64, count int) ([]string, error) {
	load, ids, base := s.loader(size), make([]string, count), s.name1(kind)
	_, _, err := drive(ctx, 16, count, 0, func(ctx context.Context, _, n int) (err error) {
		ids[n], err = load.put(ctx, fmt.Sprint(base, "/", n))
		return err
	})
	return ids, err
}

func storeSmall(ctx context.Context, s *side) (err error) {
	if s.small == nil {
		s.small, err = s.store(ctx, "small", smallSize, 3000)
	}
	return err
}

func storeMedium(ctx context.Context, s *side) (err error) {
	if s.medium == nil {
		s.medium, err = s.store(ctx, "medium", mediumSize, 100)
	}
	return err
}

func storeLarge(ctx context.Context, s *side) (err error) {
	if s.large == "" {
		s.large, err = s.loader(largeFile).put(ctx, "large")
	}
	return err
}

func smallIDs(s *side) []string  { return s.small }
func mediumIDs(s *side) []string { return s.medium }

type runner = func(ctx context.Context, s *side, d time.Duration) (int, time.Duration, error)

// putFor puts new files: count of them, or for the time.
func putFor(lanes int, size int64, count int) runner {
	return func(ctx context.Context, s *side, d time.Duration) (int, time.Duration, error) {
		load, base := s.loader(size), s.name1("put")
		if count > 0 {
			d = 0
		}
		took, wall, err := drive(ctx, lanes, count, d, func(ctx context.Context, _, n int) error {
			_, err := load.put(ctx, fmt.Sprint(base, "/", n))
			return err
		})
		return len(took), wall, err
	}
}

func getFor(lanes int, ids func(*side) []string) runner {
	return func(ctx context.Context, s *side, d time.Duration) (int, time.Duration, error) {
		stored := ids(s)
		size := int64(smallSize)
		if lanes == 8 {
			size = mediumSize
		}
		load, bufs := s.loader(size), buffers(lanes, 256<<10)
		took, wall, err := drive(ctx, lanes, 0, d, func(ctx context.Context, lane, n int) error {
			return load.get(ctx, stored[n%len(stored)], bufs[lane])
		})
		return len(took), wall, err
	}
}

// Files of 64 MiB are moved four at once, in two rounds.
const (
	bigLanes = 4
	bigCount = 8
)

func putBig(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
	load, base := s.loader(bigSize), s.name1("big")
	s.bigPut = make([]string, bigCount)
	took, wall, err := drive(ctx, bigLanes, bigCount, 0, func(ctx context.Context, _, n int) (err error) {
		s.bigPut[n], err = load.put(ctx, fmt.Sprint(base, "/", n))
		return err
	})
	return len(took), wall, err
}

func removeBig(ctx context.Context, s *side) error {
	var errs []error
	for _, id := range s.bigPut {
		errs = append(errs, s.loader(0).delete(ctx, id))
	}
	return errors.Join(errs...)
}

func storeBig(ctx context.Context, s *side) (err error) {
	if s.big == nil {
		s.big, err = s.store(ctx, "stored-big", s.scale(bigSize), bigLanes)
	}
	return err
}

func getBig(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
	load, bufs := s.loader(bigSize), buffers(bigLanes, 256<<10)
	took, wall, err := drive(ctx, bigLanes, bigCount, 0, func(ctx context.Context, lane, n int) error {
		return load.get(ctx, s.big[n%len(s.big)], bufs[lane])
	})
	return len(took), wall, err
}

func buffers(count, size int) [][]byte {
	bufs := make([][]byte, count)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	return bufs
}

func putLarge(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
	load := s.loader(largeFile)
	began := time.Now()
	_, err := load.put(ctx, "put-large")
	return 1, time.Since(began), err
}

func removeLarge(ctx context.Context, s *side) error { return s.remove(ctx, "put-large") }

// remove deletes the object that the bucket shows under a name.
func (s *side) remove(ctx context.Context, name string) error {
	var list struct {
		Files []struct {
			ID     string `json:"file_id"`
			Latest bool   `json:"latest"`
		} `json:"files"`
	}
	if err := s.c.Get(ctx, "/files?bucket=default&per_page=10&name="+name, &list); err != nil {
		return err
	}
	for _, f := range list.Files {
		if f.Latest {
			return s.loader(0).delete(ctx, f.ID)
		}
	}
	return errors.New(name + " is not there")
}

func getLarge(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
	load := s.loader(largeFile)
	began := time.Now()
	err := load.get(ctx, s.large, make([]byte, 1<<20))
	return 1, time.Since(began), err
}

func statFor(lanes int) runner {
	return func(ctx context.Context, s *side, d time.Duration) (int, time.Duration, error) {
		load := s.loader(smallSize)
		took, wall, err := drive(ctx, lanes, 0, d, func(ctx context.Context, _, n int) error {
			return load.stat(ctx, s.small[n%len(s.small)])
		})
		return len(took), wall, err
	}
}

func listFor(lanes int) runner {
	return func(ctx context.Context, s *side, d time.Duration) (int, time.Duration, error) {
		load := s.loader(smallSize)
		took, wall, err := drive(ctx, lanes, 0, d, func(ctx context.Context, _, _ int) error {
			return load.list(ctx, "small/", 1000)
		})
		return len(took), wall, err
	}
}

// doomed stores the files for one run of deletes.
const doomed = 2000

func storeDoomed(ctx context.Context, s *side) (err error) {
	s.doomedIDs, err = s.store(ctx, "doomed", smallSize, doomed)
	return err
}

func deleteDoomed(lanes int) runner {
	return func(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
		load := s.loader(smallSize)
		took, wall, err := drive(ctx, lanes, len(s.doomedIDs), 0, func(ctx context.Context, _, n int) error {
			return load.delete(ctx, s.doomedIDs[n])
		})
		return len(took), wall, err
	}
}

// mixedFor runs a mix of operations, as a busy service does. It deletes only what it has stored.
func mixedFor(lanes int) runner {
	return func(ctx context.Context, s *side, d time.Duration) (int, time.Duration, error) {
		load, base, bufs, mine := s.loader(smallSize), s.name1("mixed"), make([][]byte, lanes), make([][]string, lanes)
		rngs := make([]*rand.Rand, lanes)
		for i := range lanes {
			bufs[i], rngs[i] = make([]byte, 64<<10), rand.New(rand.NewPCG(1, uint64(i)))
		}
		took, wall, err := drive(ctx, lanes, 0, d, func(ctx context.Context, lane, n int) error {
			switch what := rngs[lane].IntN(8); {
			case what < 4:
				return load.get(ctx, s.small[n%len(s.small)], bufs[lane])
			case what < 5:
				return load.stat(ctx, s.small[n%len(s.small)])
			case what < 6 && len(mine[lane]) > 0:
				last := len(mine[lane]) - 1
				id := mine[lane][last]
				mine[lane] = mine[lane][:last]
				return load.delete(ctx, id)
			}
			id, err := load.put(ctx, fmt.Sprint(base, "/", n))
			mine[lane] = append(mine[lane], id)
			return err
		})
		return len(took), wall, err
	}
}

// mixedMediumFor gets and puts files of 1 MiB in turn.
func mixedMediumFor(lanes, count int) runner {
	return func(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
		load, base, bufs := s.loader(mediumSize), s.name1("mixed"), buffers(lanes, 256<<10)
		took, wall, err := drive(ctx, lanes, count, 0, func(ctx context.Context, lane, n int) error {
			if n%2 == 0 {
				return load.get(ctx, s.medium[n/2%len(s.medium)], bufs[lane])
			}
			_, err := load.put(ctx, fmt.Sprint(base, "/", n))
			return err
		})
		return len(took), wall, err
	}
}

// s3ctl runs the side's own program, and adds up its CPU time.
func (s *side) s3ctl(ctx context.Context, args ...string) (time.Duration, error) {
	t := &tool{bin: s.bin, c: s.c}
	out, err := t.move(ctx, args...)
	s.toolCPU += out.cpu
	return out.wall, err
}

func writeToolFile(_ context.Context, s *side) error {
	path := filepath.Join(s.dir, "file")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, randomBytes(int(s.scale(toolFile))), 0o644)
}

func putToolFile(ctx context.Context, s *side) error {
	if err := writeToolFile(ctx, s); err != nil {
		return err
	}
	_, err := s.s3ctl(ctx, "put", filepath.Join(s.dir, "file"), "s3://default/tool-get")
	return err
}

func toolPut(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
	wall, err := s.s3ctl(ctx, "put", filepath.Join(s.dir, "file"), "s3://default/tool-put")
	return 1, wall, err
}

func toolRemove(ctx context.Context, s *side) error { return s.remove(ctx, "tool-put") }

func toolGet(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
	wall, err := s.s3ctl(ctx, "get", "s3://default/tool-get", filepath.Join(s.dir, "target"))
	return 1, wall, err
}

func removeTarget(_ context.Context, s *side) error { return os.Remove(filepath.Join(s.dir, "target")) }

func writeToolTree(_ context.Context, s *side) error {
	tree := filepath.Join(s.dir, "tree")
	if _, err := os.Stat(tree); err == nil {
		return nil
	}
	return writeTree(tree, toolFiles, randomBytes(smallSize))
}

func toolMany(ctx context.Context, s *side, _ time.Duration) (int, time.Duration, error) {
	wall, err := s.s3ctl(ctx, "put", "-r", filepath.Join(s.dir, "tree"), "s3://default/"+strings.ReplaceAll(s.name1("many"), "/", "-")+"/")
	return toolFiles, wall, err
}
