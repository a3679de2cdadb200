package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// firstKey passes the root key that this start created to the operator. On a terminal
// show prints it. Other output may end in log archives, so the key is stored in a new file
// of mode 0600 before requests are accepted, and show prints the file's name. If that
// fails the key is deleted again, so that the next start creates another.
func firstKey(ctx context.Context, root access.KeyPair, c Config, meta store.Credentials, stdout io.Writer) (show func(), err error) {
	if root == (access.KeyPair{}) || c.RootAccessKey != "" {
		return func() {}, nil
	}
	if telemetry.IsTerminal(stdout) {
		return func() {
			fmt.Fprintf(stdout, "%s: first access key created, shown only once: %s secret %s\n", program, root.AccessKey, root.Secret)
		}, nil
	}
	if err := writePrivate(c.FirstKeyFile, keyText(root)); err != nil {
		err = &store.Error{
			Kind: store.Invalid, Msg: "the first access key cannot be stored in --first-key-file " + c.FirstKeyFile, Err: err,
			Hint: "Name a new file in a folder that the gateway may write to, or give a key with --root-access-key and --root-secret-key-file.",
		}
		return nil, errors.Join(err, meta.DeleteCredential(ctx, root.AccessKey, ""))
	}
	return func() {
		path := c.FirstKeyFile
		if whole, err := filepath.Abs(path); err == nil {
			path = whole
		}
		fmt.Fprintf(stdout, "%s: first access key %s created; its secret is in %s\n", program, root.AccessKey, path)
	}, nil
}

// keyText returns a key as shell assignments of the variables that s3ctl reads.
func keyText(k access.KeyPair) string {
	return fmt.Sprintf("RINGSTORE_ACCESS_KEY=%s\nRINGSTORE_SECRET_KEY=%s\n", k.AccessKey, k.Secret)
}

// writePrivate durably creates a file of mode 0600. It never replaces an existing file.
func writePrivate(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return store.Errorf(store.Exists, "%s exists already", path)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
