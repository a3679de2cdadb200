//go:build !race

package chunks_test

const raceDetector = false
