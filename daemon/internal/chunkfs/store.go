package chunkfs

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/segment"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/space"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// Defaults of Config.
const (
	DefaultPackBelow   = 4 << 20
	DefaultSegmentSize = 256 << 20
	DefaultBufferLimit = 64 << 20
	DefaultCompactRate = 32 << 20
	DefaultSpare       = 4 << 20 // room for 58,000 deletions

	DefaultOpenSegments = 512 // 128 GiB of small chunks
)

// Config configures Open. Zero fields take the defaults.
type Config struct {
	Dir string // the data directory; created if missing
	FS  vfs.FS // used instead of Dir, which then only appears in messages; closed by Close

	Identity Identity // required owner; a zero id accepts any, and a new directory gets a new node id

	Reserve     int64 // bytes of the disk that new chunks must leave free
	Limit       int64 // bytes that all chunks together may use; 0: the whole disk
	PackBelow   int64 // chunks of up to this many bytes go into segments; at most 64 MiB
	SegmentSize int64 // bytes after which a segment is sealed; at most 1 GiB
	BufferLimit int64 // bytes of small chunks that all open writers together may hold in memory; beyond it they write files
	CompactRate int64 // bytes per second that compaction may copy

	Buffers *bufpool.Pool // nil: its own

	OpenSegments int // files of segments that are kept open while they are not in use

	Spare int64 // bytes preallocated for deletions on a full disk; negative: none

	NoBackground bool // no background compaction: only Compact runs it

	Log *slog.Logger     // nil for none
	Now func() time.Time // nil for time.Now

	// Salt returns the random number of a new segment; nil: a cryptographic one.
	// For tests that compare bytes.
	Salt func() uint64
	// MemoryShort tells whether the page cache has used up the machine's memory. Default: what the system says.
	MemoryShort func() bool
}

func (c *Config) fill() error {
	c.PackBelow = cmp.Or(c.PackBelow, DefaultPackBelow)
	c.SegmentSize = cmp.Or(c.SegmentSize, DefaultSegmentSize)
	c.BufferLimit = cmp.Or(c.BufferLimit, DefaultBufferLimit)
	c.CompactRate = cmp.Or(c.CompactRate, DefaultCompactRate)
	c.Spare = cmp.Or(c.Spare, DefaultSpare)
	c.OpenSegments = cmp.Or(c.OpenSegments, DefaultOpenSegments)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MemoryShort == nil {
		m := new(disk.Memory)
		c.MemoryShort = func() bool { return m.Short(time.Now()) }
	}
	if c.Salt == nil {
		c.Salt = randomSalt
	}
	switch {
	case c.PackBelow < 0 || c.PackBelow > format.MaxPackBelow:
		return store.Errorf(store.Invalid, "chunkfs: packing below %d bytes is not within 1..%d", c.PackBelow, format.MaxPackBelow)
	case c.SegmentSize < format.SegmentHeaderSize || c.SegmentSize > 1<<30:
		return store.Errorf(store.Invalid, "chunkfs: a segment size of %d bytes is not within %d..%d", c.SegmentSize, format.SegmentHeaderSize, 1<<30)
	case c.Reserve < 0 || c.Limit < 0 || c.BufferLimit < 0 || c.CompactRate < 0 || c.OpenSegments < 0:
		return store.Errorf(store.Invalid, "chunkfs: a negative reserve, limit, rate or number of files")
	case c.Spare > 1<<30:
		return store.Errorf(store.Invalid, "chunkfs: a spare segment of %d bytes is over %d", c.Spare, 1<<30)
	}
	return nil
}

// randomSalt returns an unpredictable number that is not 0.
func randomSalt() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// Store is a chunk.Store in a data directory. Open creates one.
type Store struct {
	cfg  Config
	fs   vfs.FS
	lock vfs.File
	disk *disk.Health

	life   sync.RWMutex // read: a call is in progress; write: Close
	closed bool         // guarded by life

	identity atomic.Pointer[Identity]
	index    *index.Index
	table    *segment.Table
	log      *segment.Log
	space    *space.Account
	ids      idLocks
	folders  folders
	pool     *bufpool.Pool

	buffered atomic.Int64  // bytes that open writers hold in memory
	temps    atomic.Uint64 // number of names used in tmp so far

	probing sync.Mutex // held by the running probe; guards probed
	probed  time.Time  // when the last one began

	moveBytes  int64         // the constant, except in tests
	compacting sync.Mutex    // held by the running compaction
	wake       chan struct{} // signals the background that there may be work
	stop       context.CancelFunc
	background sync.WaitGroup
}

var (
	_ chunk.Store       = (*Store)(nil)
	_ chunk.Verifier    = (*Store)(nil)
	_ chunk.SmallPutter = (*Store)(nil)
	_ chunk.ManyDeleter = (*Store)(nil)
)

// Open opens the data directory, and recovers it where the previous process did not
// close it: acknowledged chunks exist, unfinished ones do not, and nothing has to be
// repaired by hand. Only one process at a time may have the directory open.
//
// Damage never prevents opening: readable chunks are served, unreadable ones are reported
// in the log. On a disk that cannot be written the store serves reads, and Capacity
// reports the state.
//
// Errors: Conflict (in use, or another node's or cluster's), Corrupt (identity),
// Invalid (cfg), Unavailable (identity or lock cannot be read; too few file
// descriptors or too little memory), Canceled.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if cfg.FS == nil {
		fsys, err := vfs.OpenOS(cfg.Dir)
		if err != nil {
			return nil, store.Errorf(store.Invalid, "data directory %s: %w", cfg.Dir, err)
		}
		cfg.FS = fsys
	}
	s := assemble(cfg)
	if err := s.open(ctx); err != nil {
		_ = s.free() // the first error matters more
		return nil, err
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if !cfg.NoBackground {
		s.background.Go(func() { s.compactLoop(ctx) })
	}
	return s, nil
}

func assemble(cfg Config) *Store {
	s := &Store{
		cfg:   cfg,
		fs:    cfg.FS,
		disk:  disk.NewHealth(cfg.Log),
		index: index.New(),
		table: segment.NewTable(cfg.FS, cfg.OpenSegments),
		space: space.New(space.Config{Measure: cfg.FS.Space, Now: cfg.Now, Reserve: cfg.Reserve, Limit: cfg.Limit}),
		ids:   idLocks{held: map[store.ChunkID]chan struct{}{}},
		wake:  make(chan struct{}, 1),
		pool:  cfg.Buffers,

		moveBytes: moveBytes,
	}
	s.folders = folders{fs: cfg.FS, disk: s.disk, syncing: map[string]*dirSync{}}
	s.log = segment.NewLog(segment.Config{
		FS: cfg.FS, Limit: cfg.SegmentSize, Spare: max(cfg.Spare, 0), Table: s.table, Space: s.space, Disk: s.disk,
		Done: s.recordDone, Sealed: s.wakeCompaction, Salt: func() format.Salt { return format.Salt(cfg.Salt()) }, Log: cfg.Log,
	})
	s.probed = cfg.Now()
	return s
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.lock, err = lock(s.fs, s.cfg.Dir); err != nil {
		return err
	}
	id, err := ensureIdentity(s.fs, s.cfg.Dir, s.cfg.Identity)
	if err != nil {
		return err
	}
	s.identity.Store(&id)
	return s.recover(ctx)
}

// Identity returns the owner of the data directory.
func (s *Store) Identity() Identity { return *s.identity.Load() }

// Bind durably and permanently assigns the directory to a cluster; the node calls it when
// it has joined. Binding to the same cluster again does nothing; to another one is Conflict.
func (s *Store) Bind(cluster store.ClusterID) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	id, err := bind(s.fs, s.cfg.Dir, s.Identity(), cluster)
	if err != nil {
		return err
	}
	s.identity.Store(&id)
	return nil
}

// Close waits for the calls in progress, seals the active segment and frees all
// resources. Later calls are Unavailable; open readers may continue to their end.
func (s *Store) Close() error {
	s.stop()
	s.background.Wait()
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if s.disk.Check() == nil {
		err = s.log.Close()
	}
	return errors.Join(err, s.free())
}

// free releases what Open acquired, also after an incomplete Open.
func (s *Store) free() error {
	s.log.Free()
	s.table.CloseAll()
	var err error
	if s.lock != nil {
		err = s.lock.Close()
	}
	return disk.Translate("Close", store.ChunkID{}, errors.Join(err, s.fs.Close()))
}

// enter begins a call. On success the caller ends it with life.RUnlock.
func (s *Store) enter() error {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return disk.ErrClosed
	}
	return nil
}

// begin is enter for a call with a context.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.enter()
}

// Create implements chunk.WriterOpener. It reserves space for spec.SizeHint, so that
// a full disk is reported before the first byte.
func (s *Store) Create(ctx context.Context, spec chunk.Spec) (chunk.Writer, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	return s.newWriter(ctx, spec)
}

// Stat implements chunk.Keeper.
func (s *Store) Stat(ctx context.Context, id store.ChunkID) (chunk.Info, error) {
	if err := s.begin(ctx); err != nil {
		return chunk.Info{}, err
	}
	defer s.life.RUnlock()
	return s.stat(id)
}

func (s *Store) stat(id store.ChunkID) (chunk.Info, error) {
	src, err := s.source(id)
	if err != nil {
		return chunk.Info{}, disk.ReadFailed("Stat", id, err)
	}
	return src.Info, disk.ReadFailed("Stat", id, src.close())
}

// List implements chunk.Keeper. Ids and sums come from the index. The sum of a chunk file
// that a previous process wrote is read from the file when it is first listed.
func (s *Store) List(ctx context.Context, after store.ChunkID, limit int) ([]chunk.Listed, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	var listed []chunk.Listed
	var shard []index.Indexed
	for first := int(after.Part[0]); first < 256; first++ {
		shard = s.index.List(byte(first), after, shard[:0])
		slices.SortFunc(shard, func(a, b index.Indexed) int { return a.ID.Compare(b.ID) })
		for _, at := range shard {
			if len(listed) >= limit {
				return listed, nil
			}
			one, err := s.listed(ctx, at)
			switch {
			case errors.Is(err, store.NotFound): // deleted since the index was read
				continue
			case err != nil: // no statement about the chunk
				return nil, err
			}
			listed = append(listed, one)
		}
	}
	return listed, nil
}

func (s *Store) listed(ctx context.Context, at index.Indexed) (chunk.Listed, error) {
	if at.Entry.SumKnown() {
		return chunk.Listed{ID: at.ID, Sum: at.Entry.Sum}, nil
	}
	if err := ctx.Err(); err != nil {
		return chunk.Listed{}, err
	}
	info, err := s.stat(at.ID)
	if errors.Is(err, store.Corrupt) {
		return chunk.Listed{ID: at.ID, Damaged: true}, nil
	}
	if err == nil {
		s.index.LearnSum(at.ID, info.Sum)
	}
	return chunk.Listed{ID: at.ID, Sum: info.Sum}, err
}

// recordDone makes a durable record visible in the index. The log calls it before the
// writer continues, so that compaction never finds a durable record without an entry.
func (s *Store) recordDone(r *format.Record) {
	if r.Kind == format.KindTombstone {
		if gone, was := s.index.RemoveAt(r.Info.ID, r.Target); was {
			s.table.BecameGarbage(gone)
		}
		return
	}
	if before, was := s.index.Put(r.Info.ID, index.EntryOf(r)); was { // it was moved
		s.index.AddDuplicate(r.Info.ID, before)
		s.table.BecameGarbage(before)
	}
}

// wakeCompaction signals the background that there may be something to compact.
func (s *Store) wakeCompaction() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
