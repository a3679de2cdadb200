package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// exhausted is how many bytes of memory are free at most when it counts as used up.
const exhausted = 700 << 20

// memoryUser takes memory, so that the page cache has to make room for each page that is written. A page cache that is full of pages which are
// not used does not last where the kernel reclaims such pages by itself (DAMON).
type memoryUser struct{ taken [][]byte }

// take takes what is free, but for a rest.
func (m *memoryUser) take() error {
	for {
		free, err := memory("MemFree:")
		if err != nil || free < exhausted {
			return err
		}
		piece, err := unix.Mmap(-1, 0, int(min(free-exhausted/2, 1<<30)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return fmt.Errorf("taking memory: %w", err)
		}
		for i := 0; i < len(piece); i += os.Getpagesize() {
			piece[i] = 1
		}
		m.taken = append(m.taken, piece)
	}
}

func (m *memoryUser) close() error {
	var errs []error
	for _, piece := range m.taken {
		errs = append(errs, unix.Munmap(piece))
	}
	return errors.Join(errs...)
}

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
