package space_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/space"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

const total = 1000

// disk is what the file system counts, and the oracle of the account.
type disk struct {
	now     time.Time
	foreign int64 // bytes of other programs
	stored  int64 // bytes of stored chunks
	writing map[*space.Reservation]int64
}

func (d *disk) inUse() int64 {
	n := d.foreign + d.stored
	for _, written := range d.writing {
		n += written
	}
	return n
}

func (d *disk) measure() (vfs.Space, error) {
	return vfs.Space{Total: total, Free: total - d.inUse()}, nil
}

// Random writers reserve, write, store and abort, while another program fills the disk and
// chunks are deleted. The account equals the sums over all writers, and never promises more
// than the disk has.
func TestAccount_AgainstTheSums(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := &disk{now: time.Unix(1, 0), writing: map[*space.Reservation]int64{}}
		reserve := int64(rapid.IntRange(0, 200).Draw(t, "reserve"))
		limit := rapid.SampledFrom([]int64{0, 0, 700}).Draw(t, "limit")
		a := space.New(space.Config{Measure: d.measure, Now: func() time.Time { return d.now }, Reserve: reserve, Limit: limit})
		var open []*space.Reservation
		pick := func() (*space.Reservation, int) {
			i := rapid.IntRange(0, len(open)-1).Draw(t, "writer")
			return open[i], i
		}
		drop := func(i int) {
			delete(d.writing, open[i])
			open = append(open[:i], open[i+1:]...)
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 6).Draw(t, "step"); {
			case step == 0:
				r, err := a.Reserve(int64(rapid.IntRange(0, 300).Draw(t, "hint")))
				if err != nil {
					require.ErrorIs(t, err, store.NoSpace)
					break
				}
				open = append(open, &r)
				d.writing[&r] = 0
			case step == 1 && len(open) > 0:
				r, _ := pick()
				if err := r.Grow(int64(rapid.IntRange(0, 400).Draw(t, "size"))); err != nil {
					require.ErrorIs(t, err, store.NoSpace)
				}
			case step == 2 && len(open) > 0:
				r, _ := pick()
				n := int64(rapid.IntRange(0, 400).Draw(t, "written"))
				r.Written(n)
				d.writing[r] = max(d.writing[r], min(n, r.Size()))
			case step == 3 && len(open) > 0:
				r, i := pick()
				length := r.Size() / 2 // the hint was too large
				d.stored += length
				drop(i)
				r.Store(length)
				r.Release() // no effect
			case step == 4 && len(open) > 0:
				r, i := pick()
				drop(i)
				r.Release()
			case step == 5 && d.stored > 0:
				n := int64(rapid.IntRange(0, int(d.stored)).Draw(t, "deleted"))
				d.stored -= n
				a.Add(-n)
			case step == 6:
				d.foreign = int64(rapid.IntRange(0, int(max(total-d.inUse()+d.foreign, 0))).Draw(t, "foreign"))
			}
			d.now = d.now.Add(time.Second) // each call measures
			checkAccount(t, a, d, reserve, limit)
		}
	})
}

func checkAccount(t *rapid.T, a *space.Account, d *disk, reserve, limit int64) {
	used, unwritten := d.stored, int64(0)
	for r, written := range d.writing {
		used += r.Size()
		unwritten += r.Size() - written
	}
	free := total - d.inUse() - unwritten - reserve
	if limit > 0 {
		free = min(free, limit-used)
	}
	c, _, err := a.Capacity()
	require.NoError(t, err)
	require.Equal(t, used, c.Used)
	require.Equal(t, max(free, 0), c.Free)
	require.Equal(t, free <= 0, a.Exhausted())
}

// Between two measurements the store's own changes count at once.
func TestAccount_CountsWithoutMeasuring(t *testing.T) {
	t.Parallel()
	measured := 0
	now := time.Unix(1, 0)
	a := space.New(space.Config{Now: func() time.Time { return now }, Measure: func() (vfs.Space, error) {
		measured++
		return vfs.Space{Total: total, Free: 500}, nil
	}})
	r, err := a.Reserve(400)
	require.NoError(t, err)
	_, err = a.Reserve(101)
	require.ErrorIs(t, err, store.NoSpace)
	require.ErrorContains(t, err, "101 bytes do not fit into the 100 that are free")
	r.Written(400)
	require.ErrorIs(t, r.Grow(501), store.NoSpace)
	require.EqualValues(t, 400, r.Size(), "a refused growth changes nothing")
	require.NoError(t, r.Grow(500))
	require.True(t, a.Exhausted())
	_, err = a.Reserve(0)
	require.ErrorIs(t, err, store.NoSpace, "a chunk of unknown size needs a free byte")
	r.Release()
	require.True(t, a.RoomFor(500))
	require.False(t, a.RoomFor(501))
	require.Equal(t, 1, measured)
}

func TestAccount_MeasureFails(t *testing.T) {
	t.Parallel()
	bad := errors.New("no disk")
	a := space.New(space.Config{Now: time.Now, Measure: func() (vfs.Space, error) { return vfs.Space{}, bad }})
	_, err := a.Reserve(1)
	require.ErrorIs(t, err, bad)
	_, _, err = a.Capacity()
	require.ErrorIs(t, err, bad)
	require.False(t, a.RoomFor(1))
	require.False(t, a.Exhausted())
}
