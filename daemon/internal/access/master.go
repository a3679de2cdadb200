package access

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// MasterKeySize is the size of a master key in bytes.
const MasterKeySize = 32

// MasterKey seals secrets. All gateways of a cluster have the same one. Printed or logged
// it is "(master key)". Safe for concurrent use.
type MasterKey struct {
	id   [keyIDSize]byte // identifies the master key, and discloses nothing of it
	aead cipher.AEAD
}

// Info texts of HKDF: one purpose each, so that no two derived keys are alike.
const (
	infoSeal = "ringstore/v1/sealed-secret"
	infoID   = "ringstore/v1/master-key-id"
)

// NewMasterKey returns the master key of 32 bytes; raw is not retained. Invalid.
func NewMasterKey(raw []byte) (*MasterKey, error) {
	if len(raw) != MasterKeySize {
		return nil, store.Errorf(store.Invalid, "a master key has %d bytes, not %d", MasterKeySize, len(raw)).
			WithHint("Make one with: openssl rand -hex %d", MasterKeySize)
	}
	m := &MasterKey{}
	sealing, err := hkdf.Key(sha256.New, raw, nil, infoSeal, 32)
	if err != nil {
		return nil, internal("derive the sealing key", err)
	}
	id, err := hkdf.Key(sha256.New, raw, nil, infoID, keyIDSize)
	if err != nil {
		return nil, internal("derive the key id", err)
	}
	copy(m.id[:], id)
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, internal("prepare AES", err)
	}
	if m.aead, err = cipher.NewGCM(block); err != nil {
		return nil, internal("prepare GCM", err)
	}
	return m, nil
}

// String hides the key.
func (*MasterKey) String() string { return "(master key)" }

// GoString hides the key from %#v.
func (m *MasterKey) GoString() string { return m.String() }

// LogValue hides the key from logs.
func (m *MasterKey) LogValue() slog.Value { return slog.StringValue(m.String()) }

// ParseMasterKey reads 64 hexadecimal digits or base64 of 32 bytes, of either
// alphabet, padded or not. White space around it is ignored. The error
// never contains the text. Invalid.
func ParseMasterKey(text string) (*MasterKey, error) {
	text = strings.TrimSpace(text)
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == MasterKeySize {
		return NewMasterKey(raw)
	}
	unpadded := strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.DecodeString(unpadded); err == nil && len(raw) == MasterKeySize {
			return NewMasterKey(raw)
		}
	}
	return nil, store.Errorf(store.Invalid, "the master key is neither %d hexadecimal digits nor base64 of %d bytes", 2*MasterKeySize, MasterKeySize).
		WithHint("Make one with: openssl rand -hex %d", MasterKeySize)
}

// ReadMasterKey reads a file that holds the 32 bytes themselves or a text for
// ParseMasterKey. NotFound, Denied, Invalid.
func ReadMasterKey(path string) (*MasterKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError("read", path, err)
	}
	if len(data) == MasterKeySize {
		return NewMasterKey(data)
	}
	m, err := ParseMasterKey(string(data))
	if err != nil {
		return nil, &store.Error{Op: "access.ReadMasterKey", Kind: store.Invalid, Item: path, Err: err}
	}
	return m, nil
}

// EnsureMasterKey reads the file, or creates it durably with a fresh key, readable by its
// owner only. An existing file that cannot be read is never replaced: without its key
// the sealed secrets are lost. The caller ensures that no two processes do this at once. Errors as ReadMasterKey, without NotFound; Internal.
func EnsureMasterKey(path string) (m *MasterKey, made bool, err error) {
	m, err = ReadMasterKey(path)
	if err == nil || store.KindOf(err) != store.NotFound {
		return m, false, err
	}
	raw := make([]byte, MasterKeySize)
	rand.Read(raw) // never fails: crypto/rand ends the program instead
	dir, name := filepath.Split(path)
	fsys, err := vfs.OpenOS(filepath.Clean(dir))
	if err != nil {
		return nil, false, fileError("make the folder of", path, err)
	}
	defer fsys.Close()
	if err := vfs.Replace(fsys, ".", name, []byte(hex.EncodeToString(raw)+"\n")); err != nil {
		return nil, false, fileError("write", path, err)
	}
	m, err = NewMasterKey(raw)
	return m, true, err
}

// fileError translates an error of the operating system about the key's file.
func fileError(do, path string, err error) error {
	e := &store.Error{Op: "access.MasterKey", Kind: store.Internal, Item: path, Msg: "cannot " + do + " the master key", Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Hint = store.NotFound, "Name the file that holds the cluster's master key; all gateways share one."
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = store.Denied, "Give the gateway's user the right to this file, or run it as the file's owner."
	}
	return e
}

func internal(doing string, err error) error {
	return &store.Error{Op: "access", Kind: store.Internal, Msg: doing, Err: err}
}
