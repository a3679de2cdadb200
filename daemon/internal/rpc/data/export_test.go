package data

import (
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// NewHastyServer is NewServer with one time limit for everything.
func NewHastyServer(c ServerConfig, limit time.Duration) *Server {
	return newServer(c, waits{first: limit, head: limit, unit: limit, idle: limit})
}

// Request is a head to send by hand.
type Request struct {
	Op           byte
	Number       uint32
	Chunk        store.ChunkID
	Node         store.NodeID
	Unit, Label  uint32
	First, Count uint64
	CRC          uint32
	Time         int64
	Request      string
}

// Values of Request.Op.
const (
	Get    = byte(opGet)
	Put    = byte(opPut)
	Stream = byte(opStream)
	Cancel = byte(opCancel)
)

// Encode returns the head's bytes with the proof of a key from that token.
func (r Request) Encode(joinToken string, nonce []byte) []byte {
	h := head{
		op: op(r.Op), number: r.Number, chunk: r.Chunk, node: r.Node, unitSize: r.Unit, first: r.First, count: r.Count,
		label: r.Label, crc: r.CRC, time: r.Time, request: r.Request,
	}
	return h.append(nil, newKeys(joinToken).at(r.Time), nonce)
}

// Sizes of what tests read and write by hand, and bounds.
const (
	GreetingSize = greetingSize
	NonceSize    = nonceSize
	HeadSize     = headSize
	AnswerSize   = answerSize
	MaxAge       = maxAge
	MaxOpen      = maxOpen
)

// Kinds of answers.
const (
	AnswerUnit   = byte(answerUnit)
	AnswerStored = byte(answerStored)
	AnswerFailed = byte(answerFailed)
)

// Failure decodes the bytes of a failed answer.
func Failure(b []byte) error { return decodeFailure(b) }

// HurryCancels sets how long a client waits for the answer to a put whose caller has left.
func (c *Client) HurryCancels(d time.Duration) { c.puts.patience = d }

// Label encodes a label.
var Label = encodeLabel

// Waiting is the number of puts that are not sent yet.
func (c *Client) Waiting() int {
	c.puts.mu.Lock()
	defer c.puts.mu.Unlock()
	return len(c.puts.waiting)
}
