// Package transfer moves files between this machine and a gateway: several at
// once, repeated where that is safe, and checked to the last byte. It knows no
// terminal; a Meter hears how far things are.
package transfer

import (
	"context"
	"iter"
	"sync"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/proto/rest"
)

// DefaultParallel is how many files move at once where nothing else is said.
const DefaultParallel = 8

// Store is the gateway's side; *client.Client is one.
type Store interface {
	Upload(ctx context.Context, u client.Upload) (rest.File, error)
	Download(ctx context.Context, fileID string, r *client.Range) (*client.Download, error)
	DeleteFile(ctx context.Context, fileID string) error
}

// Meter hears of bytes that moved; a negative number takes back those that have
// to move again. It is called from many goroutines.
type Meter interface{ Moved(bytes int64) }

// Mover moves files. Its methods may be called at once from many goroutines.
type Mover struct {
	Store Store
	Meter Meter
	Retry Retry

	ContentType string // of what is sent; "" guesses from the file's name
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
