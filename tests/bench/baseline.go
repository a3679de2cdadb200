package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Baseline is the limits of the machine without Ringstore. Rates are in MB (10^6 bytes) per second.
type Baseline struct {
	DiskMBps   float64 `json:"disk_mb_per_s"`    // six files written concurrently in pieces of 256 KiB, then one fdatasync each
	SyncsPerS  float64 `json:"syncs_per_s"`      // six writers, each 4 KiB then fdatasync, repeatedly
	TCPMBps    float64 `json:"tcp_mb_per_s"`     // one connection over loopback, 256 KiB writes
	TCPCPUSecs float64 `json:"tcp_cpu_s_per_gb"` // both ends
}

const diskWriters = 6

func measureBaseline(ctx context.Context, dir string, quick bool) (b Baseline, err error) {
	total, syncFor := int64(1792<<20), 2*time.Second
	if quick {
		total, syncFor = total/10, syncFor/10
	}
	if b.DiskMBps, err = diskRate(ctx, dir, total); err != nil {
		return b, err
	}
	if b.SyncsPerS, err = syncRate(ctx, dir, syncFor); err != nil {
		return b, err
	}
	b.TCPMBps, b.TCPCPUSecs, err = tcpRate(total)
	return b, err
}

// diskRate writes total bytes to six files concurrently, and syncs them.
func diskRate(ctx context.Context, dir string, total int64) (float64, error) {
	began := time.Now()
	err := together(diskWriters, func(i int) error {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("disk-", i)))
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		piece := randomBytes(256 << 10)
		for left := total / diskWriters; left > 0 && ctx.Err() == nil; left -= int64(len(piece)) {
			if _, err := f.Write(piece); err != nil {
				return err
			}
		}
		return errors.Join(ctx.Err(), syscall.Fdatasync(int(f.Fd())))
	})
	return float64(total) / 1e6 / time.Since(began).Seconds(), err
}

// syncRate appends 4 KiB and syncs, concurrently in six files.
func syncRate(ctx context.Context, dir string, d time.Duration) (float64, error) {
	var counts [diskWriters]int
	began := time.Now()
	err := together(diskWriters, func(i int) error {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("sync-", i)))
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		piece := randomBytes(4 << 10)
		for time.Since(began) < d && ctx.Err() == nil {
			if _, err := f.Write(piece); err != nil {
				return err
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				return err
			}
			counts[i]++
		}
		return ctx.Err()
	})
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / time.Since(began).Seconds(), err
}

// tcpRate copies total bytes over a loopback connection inside this process.
func tcpRate(total int64) (mbps, cpuPerGB float64, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	cpu, began := ownCPU(), time.Now()
	err = together(2, func(i int) error {
		if i == 0 {
			return sendTCP(l.Addr().String(), total)
		}
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 256<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
		}
	})
	gb := float64(total) / 1e9
	return gb * 1e3 / time.Since(began).Seconds(), (ownCPU() - cpu) / gb, err
}

func sendTCP(address string, total int64) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	piece := make([]byte, 256<<10)
	for left := total; left > 0; left -= int64(len(piece)) {
		if _, err := c.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
