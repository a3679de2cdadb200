package sqlite

import "github.com/ringstore/ringstore/daemon/internal/store"

func noObject(bucket store.BucketName, key store.Key) error {
	return store.Errorf(store.NotFound, "bucket %q has no object %q", bucket, key)
}

func noFile(id store.FileID) error { return store.Errorf(store.NotFound, "file %s does not exist", id) }
