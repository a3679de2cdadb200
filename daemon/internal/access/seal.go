package access

import (
	"bytes"
	"crypto/rand"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The envelope of a sealed secret; docs/format/sealed-secret.md describes it.
const (
	sealVersion = 1
	keyIDSize   = 4
	nonceSize   = 12
	tagSize     = 16
	sealHead    = 1 + keyIDSize + nonceSize
)

// Seal encrypts a secret so that only Open with the same master key and the same
// access key returns it: a row copied to another access key cannot be opened.
func (m *MasterKey) Seal(accessKey, secret string) []byte {
	sealed := make([]byte, sealHead, sealHead+len(secret)+tagSize)
	sealed[0] = sealVersion
	copy(sealed[1:], m.id[:])
	nonce := sealed[1+keyIDSize : sealHead]
	rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return m.aead.Seal(sealed, nonce, []byte(secret), sealBinding(sealed, accessKey))
}

// Open returns the secret. Corrupt: not an envelope, damaged, or of another
// access key. Conflict: sealed with another master key.
func (m *MasterKey) Open(accessKey string, sealed []byte) (string, error) {
	if len(sealed) < sealHead+tagSize || sealed[0] != sealVersion {
		return "", store.Errorf(store.Corrupt, "the sealed secret of access key %s is not an envelope of version %d", accessKey, sealVersion).
			WithHint("Upgrade the gateway if a newer one made this key; otherwise delete the key and make a new one.")
	}
	if !bytes.Equal(sealed[1:1+keyIDSize], m.id[:]) {
		return "", store.Errorf(store.Conflict, "the secret of access key %s was sealed with another master key", accessKey).
			WithHint("Start the gateway with the master key that the cluster's other gateways use.")
	}
	secret, err := m.aead.Open(nil, sealed[1+keyIDSize:sealHead], sealed[sealHead:], sealBinding(sealed, accessKey))
	if err != nil {
		return "", store.Errorf(store.Corrupt, "the sealed secret of access key %s is damaged", accessKey).
			WithHint("Delete the key and make a new one.")
	}
	return string(secret), nil
}

// sealBinding is the data that the tag authenticates besides the secret: version, key id, access key.
func sealBinding(sealed []byte, accessKey string) []byte {
	return append(append(make([]byte, 0, 1+keyIDSize+len(accessKey)), sealed[:1+keyIDSize]...), accessKey...)
}
