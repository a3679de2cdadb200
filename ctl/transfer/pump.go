package transfer

import (
	"io"
	"sync"
)

// pumpBuffer is the size of the two buffers between a stream and the network.
const pumpBuffer = 512 << 10

// pump reads a stream ahead of its consumer. stop unblocks the consumer even while the stream is blocked, since
// the read of a terminal or a pipe cannot be interrupted; the reading goroutine then ends with that read, or with the process.
type pump struct {
	full  chan piece
	empty chan []byte
	done  chan struct{}
	once  sync.Once

	cur piece // being consumed; used by Read only
	off int
}

type piece struct {
	data []byte
	err  error
}

func newPump(r io.Reader) *pump {
	p := &pump{full: make(chan piece, 1), empty: make(chan []byte, 2), done: make(chan struct{})}
	p.empty <- make([]byte, pumpBuffer)
	p.empty <- make([]byte, pumpBuffer)
	go p.run(r)
	return p
}

func (p *pump) run(r io.Reader) {
	for {
		var buf []byte
		select {
		case buf = <-p.empty:
		case <-p.done:
			return
		}
		n, err := r.Read(buf[:pumpBuffer])
		select {
		case p.full <- piece{buf[:n], err}:
		case <-p.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (p *pump) Read(dst []byte) (int, error) {
	for p.off == len(p.cur.data) {
		if p.cur.err != nil {
			return 0, p.cur.err
		}
		if p.cur.data != nil {
			p.empty <- p.cur.data
			p.cur, p.off = piece{}, 0
		}
		select {
		case p.cur = <-p.full:
		case <-p.done:
			return 0, io.ErrClosedPipe
		}
		if p.cur.err != nil && p.cur.err != io.EOF { //nolint:errorlint // io.Reader returns io.EOF itself
			p.cur.err = fromReading("the input", p.cur.err)
		}
	}
	n := copy(dst, p.cur.data[p.off:])
	p.off += n
	return n, nil
}

// stop makes all further reads fail. It may be called at any time and more than once.
func (p *pump) stop() { p.once.Do(func() { close(p.done) }) }
