// Package transfer moves files between this machine and a gateway: several concurrently, large ones in concurrent parts,
// with retries where that is safe, resumption after an interruption, and verified checksums. It does not use a terminal;
// progress is reported to a Meter.
//
//	put.go stream.go             upload of a file or a stream in one request, of a stream in parts
//	upload.go                    upload of a large file in parts, and the log by which it is resumed
//	get.go                       download of a file in one request, of a range, to a stream
//	copy.go                      copy of a file on the server
//	fetch.go                     download of a large file in ranges, and the log by which it is resumed
//	parts.go lanes.go            shared by both directions
//
// The files that downloads write are those of package localfile.
package transfer

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/retry"
)

// DefaultParallel is the default number of concurrent requests.
const DefaultParallel = 8

// Meter is called with the progress of transfers, concurrently.
type Meter interface {
	// Moved counts transferred bytes; a negative number takes back bytes that have to be sent again.
	Moved(bytes int64)
	// Resumed counts bytes that an earlier run transferred.
	Resumed(bytes int64)
}

// Manager transfers files. Its methods are safe for concurrent use. A copy shares lanes and limit with the original.
type Manager struct {
	Client *client.Client
	Meter  Meter
	Retry  retry.Policy

	ContentType string        // of uploads; "" guesses it from the file's name
	Lanes       *Lanes        // concurrent requests over all files; nil: DefaultParallel for each file
	Limit       *rate.Limiter // bytes a second over all files and both directions; nil: unlimited
	Sizes       Sizes         // of parts of uploads and downloads; default 8, 64, 1 and 128 MiB
	Copies      Sizes         // of parts of copies; default 256, 256, 64 and 256 MiB
	State       string        // folder for the logs of unfinished uploads; "": uploads cannot be resumed
	Note        func(string)  // receives messages for the user, such as that a transfer is resumed; may be nil
}

// ready returns a copy with all defaults set.
func (m *Manager) ready() *Manager {
	own := *m
	own.Sizes, own.Copies = m.Sizes.or(sizes), m.Copies.or(copySizes)
	if m.Lanes == nil {
		own.Lanes = NewLanes(DefaultParallel)
	}
	return &own
}

func (m *Manager) note(format string, args ...any) {
	if m.Note != nil {
		m.Note(fmt.Sprintf(format, args...))
	}
}

// Each runs work on every item, on up to parallel goroutines, and returns when all have ended. No further item
// is started once ctx has ended.
func Each[T any](ctx context.Context, parallel int, items iter.Seq[T], work func(T)) {
	var group errgroup.Group
	group.SetLimit(max(parallel, 1))
	for item := range items {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if ctx.Err() == nil { // it may have ended while the item waited
				work(item)
			}
			return nil
		})
	}
	_ = group.Wait()
}
