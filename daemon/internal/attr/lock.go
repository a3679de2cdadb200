package attr

import (
	"errors"
	"time"
)

// LockMode says who may end the retention of a file early. Values are stored: add at the end.
type LockMode uint8

// The modes of S3.
const (
	Governance LockMode = iota + 1 // whom the surface lets: the store allows each change
	Compliance                     // no caller: it may only become longer
)

// Lock keeps a file from being deleted, replaced or given another key. The zero Lock does not.
type Lock struct {
	Mode  LockMode  // of the retention; 0 where the file has no retention
	Until time.Time // when the retention ends: microseconds, UTC; zero without a retention
	Hold  bool      // legal hold: locked until it is taken off
}

// Forever is the end of a lock that has none.
var Forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// IsZero reports whether there is neither a retention nor a hold.
func (l Lock) IsZero() bool { return l == Lock{} }

// Ends returns when the file is not locked any more: Forever under a legal hold, the zero time without a lock.
func (l Lock) Ends() time.Time {
	if l.Hold {
		return Forever
	}
	return l.Until
}

// Binds returns until when this lock may not be replaced by another: the zero time where it may be now.
func (l Lock) Binds(to Lock) time.Time {
	if l.Mode != Compliance || to.Mode == Compliance && !to.Until.Before(l.Until) {
		return time.Time{}
	}
	return l.Until
}

// Validate reports a retention without a mode or an end, or with an end that cannot be stored.
func (l Lock) Validate() error {
	switch {
	case l.Mode > Compliance, (l.Mode == 0) != l.Until.IsZero():
		return errors.New("a retention has a mode, governance or compliance, and a time at which it ends")
	case l.Mode != 0 && (l.Until.Before(time.Unix(0, 0)) || l.Until.After(Forever) || !l.Until.Equal(l.Until.Truncate(time.Microsecond))):
		return errors.New("a retention ends between 1970 and the end of 9999, at a whole microsecond")
	}
	return nil
}
