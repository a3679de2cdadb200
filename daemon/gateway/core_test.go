package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With a grace, what was deleted just now is not due: a stream of deletes must not make the job ask the database without a pause.
func TestDeletesWakeReclaimOnlyWithoutAGrace(t *testing.T) {
	t.Parallel()
	require.Nil(t, (&Core{settings: Settings{DeleteGrace: time.Minute}}).wakeReclaim())
	require.NotNil(t, (&Core{}).wakeReclaim())
}
