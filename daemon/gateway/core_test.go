package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With a grace period, deleted files are not due yet: a steady stream of deletes must not make the job query the database without a pause.
func TestDeletesWakeReclaimOnlyWithoutAGrace(t *testing.T) {
	t.Parallel()
	require.Nil(t, (&Core{settings: Settings{DeleteGrace: time.Minute}}).wakeReclaim())
	require.NotNil(t, (&Core{}).wakeReclaim())
}
