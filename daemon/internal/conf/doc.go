// Package conf fills one struct of settings from, in rising order of
// precedence: its own values (the defaults), a YAML file, the environment, and
// the command line. A program declares each setting once, as a struct field:
//
//	type Config struct {
//		Data      string        `conf:"data" arg:"DIR" required:"true" help:"directory of this node"`
//		Heartbeat time.Duration `conf:"heartbeat" help:"time between heartbeats"`
//		Limit     conf.Size     `conf:"limit" help:"most bytes to use; 0 is the whole disk"`
//		JoinToken conf.Secret   `conf:"join-token" help:"token of the cluster"`
//	}
//
// From the field JoinToken and the prefix RINGSTORE_ come the flag
// --join-token, the variable RINGSTORE_JOIN_TOKEN and the key join-token of the
// file; a [Secret] also gets --join-token-file and RINGSTORE_JOIN_TOKEN_FILE,
// which name a file to read it from. A struct field groups settings: key
// db.max-conns, flag --db-max-conns, variable RINGSTORE_DB_MAX_CONNS. An
// embedded struct without a tag adds its settings without a group.
//
// Fields are strings, bools, ints, int64s, float64s, durations, lists of
// strings, or types with MarshalText and UnmarshalText, such as [Size].
//
// # Strictness
//
// An unknown flag or key of the file is an error that names it. The environment
// is shared with other programs, so there only a variable whose name is
// likely a misspelling of a known one is an error. An empty variable counts as not set.
package conf
