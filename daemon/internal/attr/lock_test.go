package attr

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A compliance retention may only become longer; everything else may change at any time.
func TestWhenALockMayChange(t *testing.T) {
	t.Parallel()
	soon, late := time.Unix(1e9, 0).UTC(), time.Unix(2e9, 0).UTC()
	for name, c := range map[string]struct {
		from, to Lock
		binds    time.Time
	}{
		"none to compliance":       {Lock{}, Lock{Mode: Compliance, Until: soon}, time.Time{}},
		"governance ends":          {Lock{Mode: Governance, Until: late}, Lock{}, time.Time{}},
		"hold ends":                {Lock{Hold: true}, Lock{}, time.Time{}},
		"compliance longer":        {Lock{Mode: Compliance, Until: soon}, Lock{Mode: Compliance, Until: late}, time.Time{}},
		"compliance as before":     {Lock{Mode: Compliance, Until: soon}, Lock{Mode: Compliance, Until: soon, Hold: true}, time.Time{}},
		"compliance shorter":       {Lock{Mode: Compliance, Until: late}, Lock{Mode: Compliance, Until: soon}, late},
		"compliance to governance": {Lock{Mode: Compliance, Until: soon}, Lock{Mode: Governance, Until: late}, soon},
		"compliance ends":          {Lock{Mode: Compliance, Until: soon, Hold: true}, Lock{Hold: true}, soon},
	} {
		require.Equal(t, c.binds, c.from.Binds(c.to), name)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	at := time.Unix(1e9, 0).UTC()
	require.True(t, Lock{}.IsZero())
	require.Equal(t, time.Time{}, Lock{}.Ends())
	require.Equal(t, at, Lock{Mode: Governance, Until: at}.Ends())
	require.Equal(t, Forever, Lock{Mode: Compliance, Until: at, Hold: true}.Ends())
	for name, c := range map[string]struct {
		lock  Lock
		valid bool
	}{
		"none":          {Lock{}, true},
		"hold":          {Lock{Hold: true}, true},
		"retention":     {Lock{Mode: Compliance, Until: at}, true},
		"longest":       {Lock{Mode: Governance, Until: Forever}, true},
		"without mode":  {Lock{Until: at}, false},
		"without end":   {Lock{Mode: Governance}, false},
		"unknown mode":  {Lock{Mode: Compliance + 1, Until: at}, false},
		"before 1970":   {Lock{Mode: Governance, Until: time.Unix(-1, 0).UTC()}, false},
		"after 9999":    {Lock{Mode: Governance, Until: Forever.Add(time.Microsecond)}, false},
		"not to the µs": {Lock{Mode: Governance, Until: at.Add(1)}, false},
	} {
		require.Equal(t, c.valid, c.lock.Validate() == nil, name)
		require.Equal(t, c.valid, Set{Lock: c.lock}.Validate() == nil, name)
	}
}
