package data

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// Magic begins each connection to the data port. No other protocol of a node's listener begins so.
const Magic = "RSdata1\n"

// le is the byte order of every number on the wire.
var le = binary.LittleEndian

// Sizes of the parts of the protocol that have a fixed one, in bytes.
const (
	nonceSize    = 16
	greetingSize = len(Magic) + nonceSize + 8

	proofSize   = 32
	requestSize = 64 // the id of the client's request, padded with zeros
	signedSize  = 80 + requestSize
	headSize    = signedSize + proofSize

	unitHeadSize = 8 // before each unit of a stream: its length and its checksum
	answerSize   = 16
	storedSize   = 24 // what an answer says of a stored chunk, before its label
)

// maxLabel bounds a label as it is sent, in bytes: a key and a content type with room to spare. maxFailure bounds an error.
const (
	maxLabel   = rpc.MaxControl
	maxFailure = 16 << 10
)

// op is what a request asks for.
type op uint8

const (
	opGet    op = iota + 1 // units of a chunk
	opPut                  // store a chunk of one unit; label and unit follow the head
	opStream               // store a chunk; its units and its label follow the head
	opCancel               // end the put with the same number, which is answered all the same
)

// head begins a request.
type head struct {
	op       op
	number   uint32 // of a put on its connection; its answer has the same
	chunk    store.ChunkID
	node     store.NodeID // for which the request is meant; zero: any
	unitSize uint32       // put, stream: of the chunk
	first    uint64       // get: number of the first unit. stream: expected bytes of the chunk
	count    uint64       // get: how many units, math.MaxUint64: all. put: bytes of the unit
	label    uint32       // put: bytes of the label
	crc      uint32       // put: of the unit
	time     int64        // of the node by its greeting, and the time since: Unix seconds
	request  string       // telemetry.Request of the caller, or ""
}

// all is the count of a get to the end of the chunk.
const all = math.MaxUint64

// append encodes the head with its proof.
func (h *head) append(b []byte, k *key, nonce []byte) []byte {
	at := len(b)
	b = append(b, byte(h.op), h.chunk.Index, 0, 0)
	b = le.AppendUint32(b, h.number)
	b = append(b, h.chunk.Part[:]...)
	b = append(b, h.node[:]...)
	b = le.AppendUint32(b, h.unitSize)
	b = le.AppendUint32(b, h.label)
	b = le.AppendUint32(b, h.crc)
	b = append(b, 0, 0, 0, 0)
	b = le.AppendUint64(b, h.first)
	b = le.AppendUint64(b, h.count)
	b = le.AppendUint64(b, uint64(h.time))
	var request [requestSize]byte
	copy(request[:], h.request)
	b = append(b, request[:]...)
	return k.appendProof(b, nonce, b[at:])
}

// parseHead decodes a head of headSize bytes, whose proof the caller checks.
func parseHead(b []byte) (h head) {
	h.op = op(b[0])
	h.chunk.Index = b[1]
	h.number = le.Uint32(b[4:])
	copy(h.chunk.Part[:], b[8:])
	copy(h.node[:], b[24:])
	h.unitSize = le.Uint32(b[40:])
	h.label = le.Uint32(b[44:])
	h.crc = le.Uint32(b[48:])
	h.first = le.Uint64(b[56:])
	h.count = le.Uint64(b[64:])
	h.time = int64(le.Uint64(b[72:]))
	if id := string(bytes.TrimRight(b[80:80+requestSize], "\x00")); telemetry.ValidRequest(id) {
		h.request = id
	}
	return h
}

// spec is the chunk that a put or stream stores.
func (h *head) spec() chunk.Spec {
	s := chunk.Spec{ID: h.chunk, UnitSize: int(h.unitSize)}
	if h.op == opStream {
		s.SizeHint = int64(min(h.first, math.MaxInt64))
	}
	return s
}

// check refuses, as Invalid, a head that asks for something impossible, before anything that it announces is read.
func (h *head) check() error {
	switch h.op {
	case opGet, opCancel:
		return nil
	case opPut, opStream:
	default:
		return store.Errorf(store.Invalid, "the data port has no request %d", h.op)
	}
	spec := h.spec()
	if err := spec.Validate(); err != nil {
		return err
	}
	switch {
	case h.op == opPut && (h.count < 1 || h.count > uint64(h.unitSize)):
		return store.Errorf(store.Invalid, "unit of %d bytes is not within 1..%d", h.count, h.unitSize).WithItem(h.chunk)
	case h.label > maxLabel:
		return store.Errorf(store.Invalid, "label of %d bytes; at most %d are allowed", h.label, maxLabel).WithItem(h.chunk)
	}
	return nil
}

// answerKind is what an answer has.
type answerKind uint8

const (
	answerUnit   answerKind = iota + 1 // get: the next unit
	answerEnd                          // get: there are no more units, and fewer than were asked for
	answerStored                       // put, stream: the chunk is durable
	answerFailed                       // the request failed; nothing more comes
)

// answer begins an answer, and is followed by length bytes.
type answer struct {
	kind   answerKind
	number uint32 // of the put that is answered, else 0
	length uint32
	crc    uint32 // of a unit
}

func (a answer) append(b []byte) []byte {
	b = append(b, byte(a.kind), 0, 0, 0)
	b = le.AppendUint32(b, a.number)
	b = le.AppendUint32(b, a.length)
	return le.AppendUint32(b, a.crc)
}

// parseAnswer decodes answerSize bytes. Anything that a node of this protocol does not send is misbehaviour.
func parseAnswer(b []byte) (answer, error) {
	a := answer{kind: answerKind(b[0]), number: le.Uint32(b[4:]), length: le.Uint32(b[8:]), crc: le.Uint32(b[12:])}
	most := uint32(0)
	switch a.kind {
	case answerUnit:
		most = chunk.MaxUnitSize
	case answerStored:
		most = storedSize + maxLabel
	case answerFailed:
		most = maxFailure
	case answerEnd:
	default:
		return a, misbehaved("an answer of kind %d", a.kind)
	}
	if a.length > most || a.kind == answerUnit && a.length == 0 || a.kind == answerStored && a.length < storedSize {
		return a, misbehaved("an answer of kind %d with %d bytes", a.kind, a.length)
	}
	return a, nil
}

// appendStored encodes what is known of a stored chunk. The label is left out where it is the one that was sent.
func appendStored(b []byte, i chunk.Info, label []byte) []byte {
	b = le.AppendUint64(b, uint64(i.Size))
	b = le.AppendUint32(b, uint32(i.UnitSize))
	b = le.AppendUint32(b, uint32(i.Sum))
	b = le.AppendUint64(b, uint64(i.StoredAt))
	return append(b, label...)
}

// parseStored decodes appendStored of at least storedSize bytes. rest is the label, empty where it is the one that was sent.
func parseStored(b []byte) (i chunk.Info, rest []byte) {
	i.Size = int64(le.Uint64(b))
	i.UnitSize = int(le.Uint32(b[8:]))
	i.Sum = store.ChunkSum(le.Uint32(b[12:]))
	i.StoredAt = int64(le.Uint64(b[16:]))
	return i, b[storedSize:]
}
