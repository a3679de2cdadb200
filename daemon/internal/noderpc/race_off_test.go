//go:build !race

package noderpc_test

const raceDetector = false
