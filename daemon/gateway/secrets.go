package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

const secretsUsage = `s3gateway secrets makes the secrets of a cluster in containers.

Usage:
  s3gateway secrets init DIR DATABASE-URL   create the missing files; existing files are not changed
  s3gateway secrets show DIR                print the root key as shell assignments

DATABASE-URL is that of the metadata without a password, such as
postgres://ringstore@postgres:5432/ringstore. The files, one folder for each reader:

  DIR/cluster/join-token           for gateways and storage nodes
  DIR/gateway/master-key           for gateways
  DIR/gateway/root-secret-key      of the access key ringstore-root
  DIR/gateway/database-url         with the password
  DIR/database/password            for the database, which runs as another user: its folder restricts who reads it
`

// secretsRootKey is the access key of the root secret.
const secretsRootKey = "ringstore-root"

// secrets is the command of that name. Errors: Invalid, and those of the file system.
func secrets(args []string, stdout io.Writer) error {
	switch {
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		_, err := io.WriteString(stdout, secretsUsage)
		return err
	case len(args) == 3 && args[0] == "init":
		return initSecrets(args[1], args[2], stdout)
	case len(args) == 2 && args[0] == "show":
		return showSecrets(args[1], stdout)
	}
	return store.Errorf(store.Invalid, "secrets: wrong arguments").WithHint("Run s3gateway secrets --help.")
}

// initSecrets creates each missing secret atomically, so that it can be repeated.
func initSecrets(dir, database string, stdout io.Writer) error {
	u, err := url.Parse(database)
	if err != nil || u.User.Username() == "" || u.Host == "" {
		return store.Errorf(store.Invalid, "the database's address is not postgres://USER@HOST/NAME").WithHint("Run s3gateway secrets --help.")
	}
	password, err := ensureSecret(dir, "database/password", randomHex(), 0o644)
	if err != nil {
		return err
	}
	u.User = url.UserPassword(u.User.Username(), password)
	for _, s := range [][2]string{
		{"cluster/join-token", randomHex()},
		{"gateway/master-key", randomHex()},
		{"gateway/root-secret-key", randomHex()},
		{"gateway/database-url", u.String()},
	} {
		if _, err := ensureSecret(dir, s[0], s[1], 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%s: the secrets are in %s; the root key is shown by: s3gateway secrets show %s\n", program, dir, dir)
	return nil
}

// randomHex returns a secret of 256 bits.
func randomHex() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(raw[:])
}

// ensureSecret durably stores a secret under dir, unless it exists, and returns the one in effect.
func ensureSecret(dir, name, fresh string, mode fs.FileMode) (string, error) {
	path := filepath.Join(dir, name)
	have, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(have)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	folder, file := filepath.Split(path)
	fsys, err := vfs.OpenOS(filepath.Clean(folder))
	if err != nil {
		return "", err
	}
	defer fsys.Close()
	if err := vfs.Replace(fsys, ".", file, []byte(fresh+"\n")); err != nil {
		return "", err
	}
	return fresh, os.Chmod(path, mode)
}

// showSecrets prints the root key, for s3ctl's environment.
func showSecrets(dir string, stdout io.Writer) error {
	text, err := os.ReadFile(filepath.Join(dir, "gateway/root-secret-key"))
	if err != nil {
		return &store.Error{Kind: store.NotFound, Msg: "the root key cannot be read", Err: err, Hint: "Make the secrets with: s3gateway secrets init"}
	}
	_, err = io.WriteString(stdout, keyText(access.KeyPair{AccessKey: secretsRootKey, Secret: strings.TrimSpace(string(text))}))
	return err
}
