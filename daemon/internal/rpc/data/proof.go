package data

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/rpc"
)

const (
	// keyLife is how long one key is used, in seconds. Keys of all periods come from one secret, and none tells another.
	keyLife = 3600
	// maxAge is how far the time of a request may be from the node's, in seconds, in both directions.
	maxAge = 300
)

// key makes and checks the proofs of one period. Safe for concurrent use.
type key struct {
	period int64
	macs   sync.Pool // of hash.Hash with the key
}

func newKey(secret string, period int64) *key {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(le.AppendUint64(nil, uint64(period)))
	derived := mac.Sum(nil)
	return &key{period: period, macs: sync.Pool{New: func() any { return hmac.New(sha256.New, derived) }}}
}

// appendProof appends the proof of a request on the connection with that nonce.
func (k *key) appendProof(b, nonce, signed []byte) []byte {
	if k == nil {
		return append(b, make([]byte, proofSize)...)
	}
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write(nonce)
	mac.Write(signed)
	return mac.Sum(b)
}

// keys are the keys of a cluster. Safe for concurrent use.
type keys struct {
	secret string // "": requests need no proof

	mu     sync.Mutex // guards recent
	recent [3]*key    // of the periods in use
}

// newKeys derives the keys from the cluster's join token; "" makes proofs that say nothing.
func newKeys(joinToken string) *keys { return &keys{secret: rpc.DataPort.Token(joinToken)} }

// at returns the key of a time in Unix seconds, nil if none is needed.
func (k *keys) at(seconds int64) *key {
	if k.secret == "" {
		return nil
	}
	period := seconds / keyLife
	k.mu.Lock()
	defer k.mu.Unlock()
	slot := &k.recent[uint64(period)%uint64(len(k.recent))]
	if *slot == nil || (*slot).period != period {
		*slot = newKey(k.secret, period)
	}
	return *slot
}

// proven reports whether a head of headSize bytes carries the right proof for the time that it names, and whether that is now.
func (k *keys) proven(b, nonce []byte, seconds int64, now time.Time) bool {
	if k.secret == "" {
		return true
	}
	if age := now.Unix() - seconds; age > maxAge || age < -maxAge {
		return false
	}
	var want [proofSize]byte
	return hmac.Equal(k.at(seconds).appendProof(want[:0], nonce, b[:signedSize]), b[signedSize:headSize])
}
