// Package profile stores what s3ctl needs to reach a cluster: its endpoint and an access key. Profiles are in a file of the
// user that no one else can read, profiles.json under $XDG_CONFIG_HOME/ringstore. `s3gateway standalone` writes the
// profile "local" there, so that s3ctl works without further setup.
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

// Local is the profile that is used if no other is named.
const Local = "local"

// The environment variables that choose a profile or replace fields of it.
const (
	EnvProfile   = "RINGSTORE_PROFILE"
	EnvEndpoint  = "RINGSTORE_ENDPOINT"
	EnvAccessKey = "RINGSTORE_ACCESS_KEY"
	EnvSecret    = "RINGSTORE_SECRET_KEY"
)

// Profile has what is needed to reach one cluster.
type Profile struct {
	Endpoint  string `json:"endpoint"`   // base URL of the REST API, http://HOST:PORT
	AccessKey string `json:"access_key"` // sent with every request
	Secret    string `json:"secret_key"` // never shown by any command

	// Owner is the server that wrote the profile: the absolute path of its data directory. "" if the user did.
	Owner string `json:"owner,omitempty"`
}

// Validate returns the first reason why the profile cannot work.
func (p Profile) Validate() error {
	u, err := url.Parse(p.Endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint %q is not a URL: %w", p.Endpoint, errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return fmt.Errorf("endpoint %q is not of the form http://HOST:PORT", p.Endpoint)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("an endpoint must not have a user, query or fragment")
	case p.AccessKey == "" || p.Secret == "":
		return errors.New("an access key and its secret are both needed")
	case strings.Contains(p.AccessKey, ":"):
		return fmt.Errorf("access key %q contains a colon", p.AccessKey)
	}
	return nil
}

// Set is the content of the file.
type Set struct {
	Default  string             `json:"default,omitempty"` // the profile to use if none is named; "" means Local
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

// DefaultName returns the profile that is used if none is named.
func (s Set) DefaultName() string {
	return cmp.Or(s.Default, Local)
}

// Choose returns the profile to use and its name: the first that is set of name, EnvProfile, the set's default, Local. The
// environment, read through getenv, then replaces single fields; if it has all of them and neither name nor EnvProfile is set,
// no profile is needed. Errors: *MissingError, and those of Validate.
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

// Complete reports whether the environment, read through getenv, has all fields, and neither name nor EnvProfile is set: Choose
// then needs no set.
func Complete(name string, getenv func(string) string) bool {
	_, complete := fromEnvironment(getenv)
	return complete && name == "" && getenv(EnvProfile) == ""
}

func fromEnvironment(getenv func(string) string) (p Profile, complete bool) {
	p = Profile{Endpoint: getenv(EnvEndpoint), AccessKey: getenv(EnvAccessKey), Secret: getenv(EnvSecret)}
	return p, p.Endpoint != "" && p.AccessKey != "" && p.Secret != ""
}

// overlaid returns p with the fields that are set in over replaced.
func (p Profile) overlaid(over Profile) Profile {
	return Profile{
		Endpoint:  cmp.Or(over.Endpoint, p.Endpoint),
		AccessKey: cmp.Or(over.AccessKey, p.AccessKey),
		Secret:    cmp.Or(over.Secret, p.Secret),
	}
}

// MissingError means that a profile does not exist.
type MissingError struct {
	Name  string
	Known []string // the existing profiles, sorted
}

// Error gives the cause.
func (e *MissingError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("profile %q does not exist, and there is no other", e.Name)
	}
	return fmt.Sprintf("profile %q does not exist (existing profiles: %s)", e.Name, strings.Join(e.Known, ", "))
}

// Hint gives the next step.
func (e *MissingError) Hint() string {
	if e.Name == Local {
		return "start a server here with `make up` or `s3gateway standalone --data DIR`, which writes this profile,\n" +
			"or name a server with `s3ctl profile add NAME --endpoint http://HOST:8080 --access-key KEY`"
	}
	return fmt.Sprintf("s3ctl profile add %s --endpoint http://HOST:8080 --access-key KEY", e.Name)
}

// TakenError means that a server cannot save its profile, because one of that name exists that the server did not write.
type TakenError struct {
	Name  string
	Owner string // the server that wrote it; "" for the user
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
	return fmt.Sprintf("s3ctl profile show %s    shows that profile; s3ctl profile rm %s removes it, so that this server can write its own", e.Name, e.Name)
}

// CheckName checks that a profile name is valid.
func CheckName(name string) error {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
	}
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }) {
		return fmt.Errorf("profile name %q: a name has 1 to 64 letters, digits, dots, hyphens or underscores", name)
	}
	return nil
}

// NoHomeError means that the user has no home folder.
type NoHomeError struct{ Err error }

// Error gives the cause.
func (e *NoHomeError) Error() string { return "there is no home folder: " + e.Err.Error() }

// Unwrap returns the error of the system.
func (e *NoHomeError) Unwrap() error { return e.Err }

// Hint gives the next step.
func (e *NoHomeError) Hint() string {
	return "set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME; or all of RINGSTORE_ENDPOINT, RINGSTORE_ACCESS_KEY and RINGSTORE_SECRET_KEY, with which no file is needed"
}

// UserFile returns the user's file of profiles: under XDG_CONFIG_HOME if that is an absolute path, otherwise under ~/.config. It
// need not exist. It reads the environment at each call. Errors: *NoHomeError.
func UserFile() (File, error) {
	dir, err := folder("XDG_CONFIG_HOME", ".config")
	return File(filepath.Join(dir, "profiles.json")), err
}

// StateDir returns the folder for the state of s3ctl between runs: under XDG_STATE_HOME if that is an absolute path,
// otherwise under ~/.local/state. It need not exist. Errors: *NoHomeError.
func StateDir() (string, error) { return folder("XDG_STATE_HOME", filepath.Join(".local", "state")) }

// folder returns our folder below the one that a variable names, or else below one of the home folder.
func folder(variable, usual string) (string, error) {
	dir := os.Getenv(variable)
	if !filepath.IsAbs(dir) { // the XDG specification requires to ignore a relative path
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &NoHomeError{Err: err}
		}
		dir = filepath.Join(home, usual)
	}
	return filepath.Join(dir, "ringstore"), nil
}
