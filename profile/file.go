package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is the path of a file of profiles. Its methods may be called concurrently, also from several processes: writers
// lock the file, and readers see it before or after a change, never a partial one.
type File string

// Load reads the set. A file that does not exist is an empty set.
func (f File) Load() (Set, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return Set{Profiles: map[string]Profile{}}, nil
	}
	if err != nil {
		return Set{}, fmt.Errorf("read profiles: %w", err)
	}
	var s Set
	if err := json.Unmarshal(data, &s); err != nil {
		return Set{}, &BrokenError{Path: string(f), Err: err}
	}
	if s.Profiles == nil {
		s.Profiles = map[string]Profile{}
	}
	return s, nil
}

// BrokenError means that the file is not valid JSON. It is left unchanged.
type BrokenError struct {
	Path string
	Err  error
}

// Error gives the cause.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("profiles in %s cannot be read: %v", e.Path, e.Err)
}

// Unwrap returns the JSON error.
func (e *BrokenError) Unwrap() error { return e.Err }

// Hint gives the next step.
func (e *BrokenError) Hint() string {
	return fmt.Sprintf("repair %s, or move it away: s3ctl profile add then creates a new one", e.Path)
}

// Save validates and adds the profile, replacing one of the same name. The user owns it from then on, not a server.
func (f File) Save(name string, p Profile) error {
	p.Owner = ""
	return f.put(name, p, func(Profile) bool { return true })
}

// SaveOwned adds the profile of the server that p.Owner names. A profile of the same name is replaced only if the same server
// wrote it or it has the same fields: a replaced key is lost, and s3ctl would change another server than its user expects. Errors: *TakenError.
func (f File) SaveOwned(name string, p Profile) error {
	if p.Owner == "" {
		return errors.New("a profile that a server writes must have an owner")
	}
	return f.put(name, p, func(old Profile) bool {
		same := old.Endpoint == p.Endpoint && old.AccessKey == p.AccessKey && old.Secret == p.Secret
		return old.Owner == p.Owner || same
	})
}

// put validates and adds a profile, if a profile of the same name may be replaced.
func (f File) put(name string, p Profile, replaces func(old Profile) bool) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return fmt.Errorf("profile %q: %w", name, err)
	}
	return f.update(func(s *Set) error {
		if old, taken := s.Profiles[name]; taken && !replaces(old) {
			return &TakenError{Name: name, Owner: old.Owner}
		}
		s.Profiles[name] = p
		return nil
	})
}

// Use makes the profile the default one. Errors: *MissingError.
func (f File) Use(name string) error {
	return f.change(name, func(s *Set) { s.Default = name })
}

// Remove removes the profile; if it was the default, no default is set afterwards. Errors: *MissingError.
func (f File) Remove(name string) error {
	return f.change(name, func(s *Set) {
		delete(s.Profiles, name)
		if s.Default == name {
			s.Default = ""
		}
	})
}

// change changes the set if it has a profile of that name.
func (f File) change(name string, do func(*Set)) error {
	return f.update(func(s *Set) error {
		if _, ok := s.Profiles[name]; !ok {
			return &MissingError{Name: name, Known: s.Names()}
		}
		do(s)
		return nil
	})
}

// update reads, changes and writes the set, holding the lock against other processes.
func (f File) update(change func(*Set) error) error {
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("make the folder of profiles: %w", err)
	}
	unlock, err := lock(string(f) + ".lock")
	if err != nil {
		return fmt.Errorf("lock profiles: %w", err)
	}
	defer unlock()
	s, err := f.Load()
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	if err := f.replace(s); err != nil {
		return fmt.Errorf("write profiles: %w", err)
	}
	return nil
}

// replace writes the set to a temporary file and renames it, so that after a crash the file is either the old or the new
// one.
func (f File) replace(s Set) (err error) {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	// CreateTemp creates the file with mode 0600, as it contains secrets.
	tmp, err := os.CreateTemp(filepath.Dir(string(f)), ".profiles-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(append(data, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), string(f))
}
