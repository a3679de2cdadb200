// Package transfer moves files between this machine and a gateway: several at
// once, large ones in parts side by side, repeated where that is safe, resumed
// where an earlier run was cut off, and checked to the last byte. It knows no terminal; a Meter
// hears how far things are.
//
//	put.go stream.go   a file or a stream in one request; a stream in parts
//	upload.go state.go a large file in parts, and what is remembered of it on this side
//	get.go             a file in one request, a range, a stream
//	fetch.go           a large file in ranges, and which of them have arrived
//	target.go own.go   where a file goes, and which files of earlier runs are used
//	parts.go lanes.go retry.go  what both directions share
package transfer

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/time/rate"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/proto/rest"
)

// DefaultParallel is how many files move at once where nothing else is said.
const DefaultParallel = 8

// Store is the gateway's side; *client.Client is one.
type Store interface {
	Upload(ctx context.Context, u client.Upload) (rest.File, error)
	Download(ctx context.Context, file rest.File, r *client.Range) (*client.Download, error)
	DeleteFile(ctx context.Context, fileID string) error
	Endpoint() string

	CreateSession(ctx context.Context, n rest.NewSession) (rest.Session, error)
	Session(ctx context.Context, id string) (rest.Session, error)
	PutPart(ctx context.Context, p client.PartUpload) (rest.SessionPart, error)
	CompleteSession(ctx context.Context, id string, want rest.CompleteSession) (rest.File, error)
	AbortSession(ctx context.Context, id string) error
}

// Meter hears of bytes that moved; a negative number takes back those that have
// to move again. It is called from many goroutines.
type Meter interface{ Moved(bytes int64) }

// Resumer is an optional power of a Meter: it hears of bytes that an earlier run
// has moved, apart from those that move now. A Meter without it hears of them as Moved.
type Resumer interface{ Resumed(bytes int64) }

// Mover moves files. Its methods may be called at once from many goroutines.
// A copy shares lanes and limit with what it was copied from.
type Mover struct {
	Store Store
	Meter Meter
	Retry Retry

	ContentType string        // of what is sent; "" guesses from the file's name
	Lanes       *Lanes        // requests at once, over all files; nil: DefaultParallel for each file
	Limit       *rate.Limiter // bytes a second, over all files and both ways; nil: as fast as it goes
	Sizes       Sizes         // of parts
	State       string        // folder that remembers uploads under way; "": they cannot be resumed
	Note        func(string)  // hears what a person should know, such as what is resumed; may be nil
}

// ready gives a mover that has lanes and sizes.
func (m *Mover) ready() *Mover {
	own := *m
	own.Sizes = m.Sizes.withDefaults()
	if m.Lanes == nil {
		own.Lanes = NewLanes(DefaultParallel)
	}
	return &own
}

func (m *Mover) note(format string, args ...any) {
	if m.Note != nil {
		m.Note(fmt.Sprintf(format, args...))
	}
}

// resumed tells the meter of bytes that need not move again.
func (m *Mover) resumed(bytes int64) {
	if r, ok := m.Meter.(Resumer); ok {
		r.Resumed(bytes)
		return
	}
	m.Meter.Moved(bytes)
}

// Each runs work on every item, on up to parallel goroutines, and returns when
// all have ended. Once ctx has ended no further item is begun.
func Each[T any](ctx context.Context, parallel int, items iter.Seq[T], work func(T)) {
	queue := make(chan T)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(queue)
	workers := 0
	for item := range items {
		if ctx.Err() != nil {
			return
		}
		// A worker more is only made while all others are busy.
		select {
		case queue <- item:
			continue
		default:
		}
		if workers < max(parallel, 1) {
			workers++
			wg.Go(func() {
				work(item)
				for item := range queue {
					work(item)
				}
			})
			continue
		}
		select {
		case queue <- item:
		case <-ctx.Done():
			return
		}
	}
}
