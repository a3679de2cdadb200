package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// exhausted is how many bytes of memory are free at most when it counts as used up by the page cache.
const exhausted = 700 << 20

// cacheFiller fills the page cache, as that of a machine is that has run for a while: with the holes of a sparse file, which take
// no disk.
type cacheFiller struct{ f *os.File }

func newCacheFiller(dir string) (*cacheFiller, error) {
	total, err := memory("MemTotal:")
	if err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, "holes"))
	if err != nil {
		return nil, err
	}
	return &cacheFiller{f}, errors.Join(f.Truncate(2*total), os.Remove(f.Name()))
}

// fill reads until little memory is free.
func (c *cacheFiller) fill(ctx context.Context) error {
	piece := make([]byte, 8<<20)
	for ctx.Err() == nil {
		free, err := memory("MemFree:")
		if err != nil || free < exhausted {
			return err
		}
		for range 8 {
			if _, err := c.f.Read(piece); errors.Is(err, io.EOF) {
				_, err = c.f.Seek(0, io.SeekStart)
				if err != nil {
					return err
				}
			} else if err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (c *cacheFiller) close() { _ = c.f.Close() }

// memory returns a line of /proc/meminfo in bytes.
func memory(name string) (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no %s", name)
}
