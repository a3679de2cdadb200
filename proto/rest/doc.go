// Package rest is the REST API of a gateway: openapi.yaml, and the types made
// from it, which server and clients share. It imports the standard library only.
// Routes for echo are in package server below it. `make generate` regenerates both.
package rest
