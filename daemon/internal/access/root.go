package access

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const rootNote = "root, made at the first start"

// EnsureRoot sees to it that there is a key to begin with.
//
// A pair given by the operator is saved, or, where its access key is there
// already, its secret is replaced by the given one if it differs. With the zero
// pair a fresh one is made if there is no key at all; two gateways that first start at the same
// moment may then make one each, and both are good.
//
// It returns the pair in effect and whether it is fresh; the zero pair when keys
// are there and none was given. The secret of a fresh pair is shown nowhere else.
//
// In any case it opens one sealed secret, so that a gateway with the wrong master key
// fails at start and not at its first request. Errors: Invalid (the given pair),
// Conflict (another master key), Corrupt, and those of the store.
func EnsureRoot(ctx context.Context, creds store.Credentials, master *MasterKey, given KeyPair) (pair KeyPair, made bool, err error) {
	if err := checkMaster(ctx, creds, master); err != nil {
		return KeyPair{}, false, err
	}
	if given != (KeyPair{}) {
		if err := given.Validate(); err != nil {
			return KeyPair{}, false, err
		}
		return given, false, adopt(ctx, creds, master, given)
	}
	keys, err := creds.ListCredentials(ctx)
	if err != nil || len(keys) > 0 {
		return KeyPair{}, false, err
	}
	pair = NewKeyPair()
	return pair, true, save(ctx, creds, master, pair)
}

func checkMaster(ctx context.Context, creds store.Credentials, master *MasterKey) error {
	keys, err := creds.ListCredentials(ctx)
	if err != nil {
		return err
	}
	// One damaged row must not keep a gateway from starting, another master key must.
	for _, k := range keys {
		if _, err := master.Open(k.AccessKey, k.Sealed); err == nil || store.KindOf(err) == store.Conflict {
			return err
		}
	}
	return nil
}

func adopt(ctx context.Context, creds store.Credentials, master *MasterKey, given KeyPair) error {
	err := save(ctx, creds, master, given)
	if err == nil || store.KindOf(err) != store.Exists {
		return err
	}
	c, err := creds.Credential(ctx, given.AccessKey)
	if err != nil {
		return err
	}
	if secret, err := master.Open(c.AccessKey, c.Sealed); err == nil && secret == given.Secret {
		return nil
	}
	if err := creds.DeleteCredential(ctx, given.AccessKey); err != nil && store.KindOf(err) != store.NotFound {
		return err
	}
	return save(ctx, creds, master, given)
}

func save(ctx context.Context, creds store.Credentials, master *MasterKey, k KeyPair) error {
	return creds.SaveCredential(ctx, store.Credential{AccessKey: k.AccessKey, Sealed: master.Seal(k.AccessKey, k.Secret), Note: rootNote})
}
