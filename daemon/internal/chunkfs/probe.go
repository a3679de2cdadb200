package chunkfs

import (
	"context"
	"fmt"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	// probeBytes must be free before new chunks are accepted again.
	probeBytes = 1 << 20
	// probeAge is the age of the last probe after which Capacity runs another, so that a
	// read-only disk is known before chunks are sent to it.
	probeAge = 10 * time.Second
)

// writable is nil while the disk accepts new chunks. If it did not at the last write, it is
// probed again.
func (s *Store) writable() error {
	if !s.disk.Troubled() {
		return nil
	}
	if err := s.disk.Check(); err != nil {
		return err
	}
	return s.probe()
}

// probe writes a small file and removes it. Success unblocks writes; an error is classified
// by health.judge.
func (s *Store) probe() error {
	s.probing.Lock()
	defer s.probing.Unlock()
	s.probed = s.cfg.Now()
	if err := s.tryWrite(); err != nil {
		return s.disk.Judge(store.ChunkID{}, err)
	}
	s.disk.Passed()
	return nil
}

func (s *Store) tryWrite() error {
	name := fmt.Sprintf("tmp/probe.%d", s.temps.Add(1))
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	err = f.Preallocate(probeBytes)
	if err == nil {
		_, err = f.WriteAt(make([]byte, 4096), 0)
	}
	_ = f.Close() // its content does not matter
	if gone := s.fs.Remove(name); err == nil {
		err = gone
	}
	return err
}

// probeNow runs a probe if the last one is old or writes are blocked.
func (s *Store) probeNow() {
	s.probing.Lock()
	old := s.cfg.Now().Sub(s.probed) >= probeAge
	s.probing.Unlock()
	if s.disk.Check() == nil && (old || s.disk.Troubled()) {
		_ = s.probe() // s.disk records the outcome
	}
}

// Capacity implements chunk.Keeper. It detects that a disk became full, read-only or
// writable again without a write by a client.
func (s *Store) Capacity(ctx context.Context) (store.Capacity, error) {
	if err := s.begin(ctx); err != nil {
		return store.Capacity{}, err
	}
	defer s.life.RUnlock()
	c, readOnly, err := s.space.Capacity()
	if err != nil {
		return store.Capacity{}, disk.Translate("Capacity", store.ChunkID{}, err)
	}
	if readOnly {
		_ = s.disk.Block(store.DiskReadOnly, disk.ReadOnly(nil))
	} else {
		s.probeNow()
	}
	c.Chunks = s.index.Len()
	c.Disk = s.disk.State()
	switch {
	case !c.Disk.Writable():
		c.Free = 0
	case c.Free == 0:
		c.Disk = store.Disk{State: store.DiskFull, Reason: fmt.Sprintf("nothing is free beyond the reserve of %d bytes", s.cfg.Reserve)}
	default:
		c.Disk.Reason = s.table.DamageSummary()
	}
	return c, nil
}
