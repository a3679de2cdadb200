package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringstore/ringstore/tests/cluster"
)

// usage is the resources that processes have used so far.
type usage struct {
	gateway float64 // CPU seconds
	nodes   float64 // CPU seconds, all nodes
}

func used(c *cluster.Cluster) (u usage, err error) {
	if u.gateway, err = cpuOf(c.Gateway.PID()); err != nil {
		return u, err
	}
	for _, n := range c.Nodes {
		s, err := cpuOf(n.PID())
		if err != nil {
			return u, err
		}
		u.nodes += s
	}
	return u, nil
}

// counters are what the kernel has counted so far.
type counters struct {
	cpu     float64 // seconds, of the processes that the row measures
	device  int64   // bytes written to all disks of the machine
	wakeups int64   // voluntary switches of the daemons' threads: each was woken once for it
}

func (s *side) counters(r row) (k counters, err error) {
	if k.cpu, err = s.cpu(r); err != nil {
		return k, err
	}
	if k.device, err = deviceBytes(); err != nil {
		return k, err
	}
	for _, pid := range s.pids() {
		n, err := wakeupsOf(pid)
		if err != nil {
			return k, err
		}
		k.wakeups += n
	}
	return k, nil
}

// pids are the processes of gateway and nodes.
func (s *side) pids() []int {
	pids := []int{s.c.Gateway.PID()}
	for _, n := range s.c.Nodes {
		pids = append(pids, n.PID())
	}
	return pids
}

// peak returns the sum of the daemons' peak memory since the last call, in MiB.
func (s *side) peak() (sum float64, err error) {
	for _, pid := range s.pids() {
		mib, err := peakMiB(pid)
		if err != nil {
			return 0, err
		}
		sum += mib
		if err := resetPeak(pid); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// deviceBytes is what was written to the whole disks of the machine (proc(5), diskstats: the tenth field is sectors of 512 bytes; a
// partition has the name of its disk and a number). The write_bytes of a process count whole folios of the page cache, which is several times more.
func deviceBytes() (sum int64, err error) {
	b, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return 0, err
	}
	disks := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 10 || strings.HasPrefix(f[2], "loop") || strings.HasPrefix(f[2], "ram") || isPartition(f[2], disks) {
			continue
		}
		disks[f[2]] = true
		sectors, err := strconv.ParseInt(f[9], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/diskstats, %s: %w", f[2], err)
		}
		sum += sectors * 512
	}
	return sum, nil
}

// isPartition reports whether the device is a partition of one of the disks, which precede it.
func isPartition(name string, disks map[string]bool) bool {
	disk := strings.TrimRight(name, "0123456789")
	return disks[disk] || disks[strings.TrimSuffix(disk, "p")]
}

// wakeupsOf sums the voluntary context switches of the process's threads (proc(5), status).
func wakeupsOf(pid int) (sum int64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(b)) {
			if n, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				count, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
				if err != nil {
					return 0, fmt.Errorf("%s: %w", path, err)
				}
				sum += count
			}
		}
	}
	return sum, nil
}

// cpuOf reads the CPU time of a process from its clock in nanoseconds: clock_getcpuclockid(3) derives the clock's
// id from that of the process, and 2 selects the scheduler's clock.
func cpuOf(pid int) (float64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return float64(t.Nano()) / 1e9, nil
}

func ownCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// resetPeak resets the peak memory of a process (proc(5), clear_refs).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peakMiB is the process's peak resident memory since resetPeak.
func peakMiB(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kib, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			n, err := strconv.ParseFloat(strings.Fields(kib)[0], 64)
			return n / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
}

// Machine describes the machine on which the figures were measured.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Model  string `json:"model"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func machine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(b), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.Model = strings.TrimSpace(value)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	return m
}
