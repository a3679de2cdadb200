package access

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// KeyPair is an access key and its secret. Printed or logged it is the access key alone;
// the secret is readable in its field only.
type KeyPair struct {
	AccessKey string
	Secret    string
}

// Format hides the secret, whatever the verb.
func (k KeyPair) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s:***", k.AccessKey) }

// LogValue hides the secret from logs.
func (k KeyPair) LogValue() slog.Value { return slog.StringValue(k.AccessKey) }

// NewKeyPair returns a fresh pair: RS and 18 characters, and a secret of 40
// characters that hold 200 random bits. Both use A-Z and 2-7, which need no quoting in shells, URLs and files.
func NewKeyPair() KeyPair {
	return KeyPair{AccessKey: "RS" + randomText(18), Secret: randomText(40)}
}

func randomText(n int) string {
	raw := make([]byte, n*5/8+1)
	rand.Read(raw) // never fails: crypto/rand ends the program instead
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)[:n]
}

// Bounds of what an operator may choose.
const (
	minAccessKey, maxAccessKey = 3, 128
	minSecret, maxSecret       = 16, 128 // long enough that it cannot be guessed at any rate, see Throttle
)

// Validate reports the first rule that the pair violates, as Invalid. The error never
// contains the secret.
func (k KeyPair) Validate() error {
	if err := validAccessKey(k.AccessKey); err != nil {
		return err
	}
	if len(k.Secret) < minSecret || len(k.Secret) > maxSecret || strings.ContainsFunc(k.Secret, notPrintable) {
		return store.Errorf(store.Invalid, "the secret is not %d to %d printable ASCII characters", minSecret, maxSecret).
			WithHint("Choose another secret; 40 random characters are good.")
	}
	return nil
}

// validAccessKey refuses the separators of HTTP Basic (colon) and of signatures (slash,
// comma, equals).
func validAccessKey(key string) error {
	bad := func(r rune) bool { return notPrintable(r) || strings.ContainsRune(`:/,= "\`, r) }
	if len(key) < minAccessKey || len(key) > maxAccessKey || strings.ContainsFunc(key, bad) {
		return store.Errorf(store.Invalid, "the access key is not %d to %d printable ASCII characters without space, quote, colon, slash, backslash, comma or equals sign", minAccessKey, maxAccessKey).
			WithHint("Choose another access key; letters and digits are good.")
	}
	return nil
}

func notPrintable(r rune) bool { return r < 0x20 || r > 0x7e }
