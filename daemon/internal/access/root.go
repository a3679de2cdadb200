package access

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const rootNote = "root, made at the first start"

// EnsureRoot ensures that a root key exists.
//
// A pair given by the operator atomically replaces every root key of earlier starts. The
// old ones stay valid only as long as other gateways cache them (Config.Trust). With the
// zero pair a fresh one is created if there are no keys yet; two gateways that start for the
// first time at the same moment may then create one each, and both are valid.
//
// It returns the pair in effect and whether it is fresh; the zero pair if keys
// exist and none was given. The secret of a fresh pair is shown nowhere else.
//
// In any case it opens one sealed secret, so that a gateway with the wrong master key
// fails at start and not at its first request. Errors: Invalid (the given pair),
// Conflict (another master key), Corrupt, and those of the store.
func EnsureRoot(ctx context.Context, creds store.Credentials, master *MasterKey, given KeyPair) (pair KeyPair, made bool, err error) {
	keys, err := creds.ListCredentials(ctx)
	if err != nil {
		return KeyPair{}, false, err
	}
	if err := checkMaster(keys, master); err != nil {
		return KeyPair{}, false, err
	}
	if given != (KeyPair{}) {
		return given, false, adopt(ctx, creds, keys, master, given)
	}
	if len(keys) > 0 {
		return KeyPair{}, false, nil
	}
	pair = NewKeyPair()
	return pair, true, creds.SaveCredential(ctx, sealed(master, pair), "")
}

// checkMaster opens one of the keys. A damaged row must not prevent a gateway from
// starting, a wrong master key must.
func checkMaster(keys []store.Credential, master *MasterKey) error {
	for _, k := range keys {
		if _, err := master.Open(k.AccessKey, k.Sealed); err == nil || store.KindOf(err) == store.Conflict {
			return err
		}
	}
	return nil
}

// adopt makes the given pair the only root key, if it is not already.
func adopt(ctx context.Context, creds store.Credentials, keys []store.Credential, master *MasterKey, given KeyPair) error {
	if err := given.Validate(); err != nil {
		return err
	}
	same, others := false, false
	for _, k := range keys {
		if k.AccessKey != given.AccessKey {
			others = others || k.Note == rootNote
			continue
		}
		secret, err := master.Open(k.AccessKey, k.Sealed)
		same = err == nil && secret == given.Secret && k.Note == rootNote
	}
	if same && !others {
		return nil
	}
	return creds.ReplaceCredentials(ctx, sealed(master, given), "")
}

func sealed(master *MasterKey, k KeyPair) store.Credential {
	return store.Credential{AccessKey: k.AccessKey, Sealed: master.Seal(k.AccessKey, k.Secret), Note: rootNote}
}
