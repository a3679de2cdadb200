package chunkfs

import (
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

const (
	identityFile     = "identity"
	identityMaxBytes = 4096
	lockFile         = "lock"
)

// Identity is the owner of a data directory.
type Identity struct {
	Node    store.NodeID
	Cluster store.ClusterID // zero until the node joined a cluster
}

// identityJSON is the content of the identity file.
type identityJSON struct {
	Format  int             `json:"format"`
	Node    store.NodeID    `json:"node"`
	Cluster store.ClusterID `json:"cluster"`
}

// lock locks the data directory for this process.
func lock(fsys vfs.FS, dir string) (vfs.File, error) {
	f, err := fsys.Open(lockFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err = fsys.Create(lockFile)
	case err != nil: // a read-only disk; locking needs only read access
		f, err = fsys.OpenRead(lockFile)
	}
	if err != nil {
		return nil, disk.Translate("Open", store.ChunkID{}, err)
	}
	err = f.Lock()
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, vfs.ErrLocked) {
		return nil, store.Errorf(store.Conflict, "the data directory %s is in use by another process", dir).
			WithHint("Stop the other process, or use another directory.")
	}
	return nil, disk.Translate("Open", store.ChunkID{}, err)
}

// readIdentity returns the directory's identity; ok is false for an empty directory.
func readIdentity(fsys vfs.FS, dir string) (id Identity, ok bool, err error) {
	data, err := vfs.ReadFile(fsys, identityFile, identityMaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, requireEmpty(fsys, dir)
	}
	if err != nil {
		return id, false, disk.Translate("Open", store.ChunkID{}, err)
	}
	var j identityJSON
	if err := json.Unmarshal(data, &j); err != nil || j.Format < 1 || j.Node.IsZero() {
		return id, false, store.Errorf(store.Corrupt, "the identity file of %s cannot be read", dir).
			WithHint("Restore the file %s from a backup: it holds the format version, the node's id and the cluster's.", identityFile)
	}
	if j.Format > format.Version {
		return id, false, store.Errorf(store.Conflict, "%s was written by a newer program (format %d, this one supports up to %d)", dir, j.Format, format.Version).
			WithHint("Start the newer version of the program.")
	}
	return Identity{Node: j.Node, Cluster: j.Cluster}, true, nil
}

// requireEmpty refuses a directory without identity that holds anything but the files of an
// interrupted first start or of the file system itself.
func requireEmpty(fsys vfs.FS, dir string) error {
	entries, err := fsys.ReadDir(".")
	if err != nil {
		return disk.Translate("Open", store.ChunkID{}, err)
	}
	for _, e := range entries {
		switch e.Name {
		case lockFile, identityFile + ".new", "lost+found":
		default:
			return store.Errorf(store.Conflict, "%s is neither empty nor a data directory: it contains %q and no identity file", dir, e.Name).
				WithHint("Use an empty directory, or the previous data directory of this node.")
		}
	}
	return nil
}

func writeIdentity(fsys vfs.FS, id Identity) error {
	data, err := json.MarshalIndent(identityJSON{Format: format.Version, Node: id.Node, Cluster: id.Cluster}, "", "  ")
	if err != nil {
		return err
	}
	return disk.Translate("Open", store.ChunkID{}, vfs.Replace(fsys, ".", identityFile, append(data, '\n')))
}

// ensureIdentity compares the directory's identity with the wanted one, and stores it where
// the directory has none yet.
func ensureIdentity(fsys vfs.FS, dir string, want Identity) (Identity, error) {
	have, ok, err := readIdentity(fsys, dir)
	if err != nil {
		return have, err
	}
	if !ok {
		have = want
		if have.Node.IsZero() {
			have.Node = store.NewNodeID()
		}
		return have, writeIdentity(fsys, have)
	}
	if !want.Node.IsZero() && want.Node != have.Node {
		return have, store.Errorf(store.Conflict, "%s belongs to node %s, not to %s", dir, have.Node, want.Node).
			WithHint("Use the directory of this node, or an empty one.")
	}
	return bind(fsys, dir, have, want.Cluster)
}

// bind permanently assigns the directory to the cluster; the zero id changes nothing.
func bind(fsys vfs.FS, dir string, have Identity, cluster store.ClusterID) (Identity, error) {
	switch {
	case cluster.IsZero() || cluster == have.Cluster:
		return have, nil
	case !have.Cluster.IsZero():
		return have, store.Errorf(store.Conflict, "%s belongs to cluster %s, not to %s", dir, have.Cluster, cluster).
			WithHint("Use the directory of a node of this cluster, or an empty one.")
	}
	bound := Identity{Node: have.Node, Cluster: cluster}
	if err := writeIdentity(fsys, bound); err != nil {
		return have, err
	}
	return bound, nil
}
