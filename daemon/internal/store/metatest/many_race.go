//go:build race

package metatest

// manyParts is how many parts the tests of very many parts use: with the race detector, fewer than a file may have.
const manyParts = 1500
