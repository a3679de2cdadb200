package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The clock of a process agrees with getrusage(2).
func TestCPUOf(t *testing.T) {
	t.Parallel()
	before := ownCPU()
	got, err := cpuOf(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, got, before)
	require.LessOrEqual(t, got, ownCPU()+0.02, "in seconds; getrusage may lag by a tick")
	_, err = cpuOf(1 << 22)
	require.Error(t, err)
}
