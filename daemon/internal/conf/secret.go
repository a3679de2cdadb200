package conf

import "log/slog"

// Secret is a setting that only Reveal returns: printed, logged or marshalled it is
// "(set)" or "".
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(set)"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// exposed returns the names of the secrets whose current value came from a flag.
func (set *settings) exposed() (flags []string) {
	for _, f := range set.fields {
		if f.twin != nil && f.origin == fromFlag && f.twin.origin != fromFlag {
			flags = append(flags, f.flag)
		}
	}
	return flags
}

// secretValue sets a Secret from text.
type secretValue Secret

func (v *secretValue) Set(s string) error { *v = secretValue(s); return nil }
func (v *secretValue) String() string     { return Secret(*v).String() }
func (v *secretValue) Type() string       { return "secret" }
