// Package profile keeps what s3ctl must know to reach a cluster: its address
// and an access key. Profiles live in one file of the user, profiles.json under
// $XDG_CONFIG_HOME/ringstore, readable by nobody else. `s3gateway standalone`
// writes the profile "local" there, so that s3ctl works at once after it.
//
// Only the standard library is used, so that a daemon may import this package.
package profile

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Local is the profile that is used when nobody named another one.
const Local = "local"

// The environment variables that choose a profile or replace fields of it.
const (
	EnvProfile   = "RINGSTORE_PROFILE"
	EnvEndpoint  = "RINGSTORE_ENDPOINT"
	EnvAccessKey = "RINGSTORE_ACCESS_KEY"
	EnvSecret    = "RINGSTORE_SECRET_KEY"
)

// Profile says how to reach one cluster.
type Profile struct {
	Endpoint  string `json:"endpoint"`   // base URL of the REST API, http://HOST:PORT
	AccessKey string `json:"access_key"` // sent with every request
	Secret    string `json:"secret_key"` // never shown by any command

	// Owner is the server that wrote the profile by itself: the absolute path of its data directory. "" where a person did.
	Owner string `json:"owner,omitempty"`
}

// Validate reports the first thing that keeps the profile from working.
func (p Profile) Validate() error {
	u, err := url.Parse(p.Endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint %q is not a URL: %w", p.Endpoint, errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return fmt.Errorf("endpoint %q is not of the form http://HOST:PORT", p.Endpoint)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("an endpoint has no user, query or fragment")
	case p.AccessKey == "" || p.Secret == "":
		return errors.New("an access key and its secret are both needed")
	case strings.Contains(p.AccessKey, ":"):
		return fmt.Errorf("access key %q has a colon in it", p.AccessKey)
	}
	return nil
}

// Set is what the file holds.
type Set struct {
	Default  string             `json:"default,omitempty"` // the profile to use when none is named; "" is Local
	Profiles map[string]Profile `json:"profiles"`
}

// Names returns the names of the profiles, sorted.
func (s Set) Names() []string {
	names := make([]string, 0, len(s.Profiles))
	for name := range s.Profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// DefaultName is the profile that is used when none is named.
func (s Set) DefaultName() string {
	return cmp.Or(s.Default, Local)
}

// Choose returns the profile to use and its name. The first of these that is
// set names it: name, EnvProfile, the set's default, Local. The environment,
// read through getenv, then replaces single fields; when it gives all of them
// and no profile was asked for, none is needed. Errors: *MissingError, and what Validate says.
func (s Set) Choose(name string, getenv func(string) string) (Profile, string, error) {
	if name == "" {
		name = getenv(EnvProfile)
	}
	asked := name != ""
	if !asked {
		name = s.DefaultName()
	}
	over, complete := fromEnvironment(getenv)
	p, found := s.Profiles[name]
	if !found && (asked || !complete) {
		return Profile{}, name, &MissingError{Name: name, Known: s.Names()}
	}
	if !found {
		name = "environment"
	}
	p = p.overlaid(over)
	if err := p.Validate(); err != nil {
		return Profile{}, name, fmt.Errorf("profile %q: %w", name, err)
	}
	return p, name, nil
}

// Complete reports whether the environment, read through getenv, says all that is needed, and no profile was asked for, by
// name or by it: then Choose needs no set.
func Complete(name string, getenv func(string) string) bool {
	_, complete := fromEnvironment(getenv)
	return complete && name == "" && getenv(EnvProfile) == ""
}

func fromEnvironment(getenv func(string) string) (p Profile, complete bool) {
	p = Profile{Endpoint: getenv(EnvEndpoint), AccessKey: getenv(EnvAccessKey), Secret: getenv(EnvSecret)}
	return p, p.Endpoint != "" && p.AccessKey != "" && p.Secret != ""
}

// overlaid returns p with the fields of over that are set.
func (p Profile) overlaid(over Profile) Profile {
	return Profile{
		Endpoint:  cmp.Or(over.Endpoint, p.Endpoint),
		AccessKey: cmp.Or(over.AccessKey, p.AccessKey),
		Secret:    cmp.Or(over.Secret, p.Secret),
	}
}

// MissingError says that a profile is not there.
type MissingError struct {
	Name  string
	Known []string // the profiles that are, sorted
}

// Error gives the cause.
func (e *MissingError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("there is no profile %q, nor any other", e.Name)
	}
	return fmt.Sprintf("there is no profile %q (there is: %s)", e.Name, strings.Join(e.Known, ", "))
}

// Hint gives the next step.
func (e *MissingError) Hint() string {
	if e.Name == Local {
		return "start a server here with `make up` or `s3gateway standalone --data DIR`, which writes this profile,\n" +
			"or name a server with `s3ctl profile add NAME --endpoint http://HOST:8080 --access-key KEY`"
	}
	return fmt.Sprintf("s3ctl profile add %s --endpoint http://HOST:8080 --access-key KEY", e.Name)
}

// TakenError says that a name is that of a profile which a server did not write, and so does not replace.
type TakenError struct {
	Name  string
	Owner string // the server that wrote it; "" for a person
}

// Error gives the cause.
func (e *TakenError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("profile %q was not written by this server", e.Name)
	}
	return fmt.Sprintf("profile %q was written by the server with its data in %s", e.Name, e.Owner)
}

// Hint gives the next step.
func (e *TakenError) Hint() string {
	return fmt.Sprintf("s3ctl profile show %s    says what it leads to; s3ctl profile rm %s makes room for this server's", e.Name, e.Name)
}

// CheckName reports why a name cannot be that of a profile.
func CheckName(name string) error {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
	}
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }) {
		return fmt.Errorf("profile name %q: a name has 1 to 64 letters, digits, dots, hyphens or underscores", name)
	}
	return nil
}

// NoHomeError says that the user has no folder in which anything could be kept.
type NoHomeError struct{ Err error }

// Error gives the cause.
func (e *NoHomeError) Error() string { return "there is no home folder: " + e.Err.Error() }

// Unwrap gives what the system said.
func (e *NoHomeError) Unwrap() error { return e.Err }

// Hint gives the next step.
func (e *NoHomeError) Hint() string {
	return "set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME; or all of RINGSTORE_ENDPOINT, RINGSTORE_ACCESS_KEY and RINGSTORE_SECRET_KEY, which need no file"
}

// Path returns where the file is for this user: under XDG_CONFIG_HOME where
// that is an absolute path, otherwise where the system keeps configuration.
// The environment is read at each call. Errors: *NoHomeError.
func Path() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // the XDG specification says to ignore a relative one
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &NoHomeError{Err: err}
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "ringstore", "profiles.json"), nil
}

// StateDir returns the folder for what s3ctl remembers between runs: under
// XDG_STATE_HOME where that is an absolute path, otherwise where the system
// keeps such state. It need not exist. Errors: *NoHomeError.
func StateDir() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &NoHomeError{Err: err}
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "ringstore"), nil
}

// Load reads the user's profiles. No file is an empty set.
func Load() (Set, error) {
	path, err := Path()
	if err != nil {
		return Set{}, err
	}
	return File(path).Load()
}

// Save adds the profile to the user's, replacing one of the same name.
func Save(name string, p Profile) error {
	path, err := Path()
	if err != nil {
		return err
	}
	return File(path).Save(name, p)
}

// SaveOwned adds the profile of a server to the user's; see File.SaveOwned.
func SaveOwned(name string, p Profile) error {
	path, err := Path()
	if err != nil {
		return err
	}
	return File(path).SaveOwned(name, p)
}
