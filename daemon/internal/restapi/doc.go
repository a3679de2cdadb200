// Package restapi serves the REST API that proto/rest/openapi.yaml describes.
// A handler parses, calls the engine and renders; what a file is or when it is
// safe is not decided here.
//
// A request passes observe (request id, log, recovery), guard (the deadlines of
// a client that stalls), authenticate, and the generated binding of parameters.
// Errors come back as Go errors and become problem documents in one place, problem.go.
//
// Bodies are streamed in both directions. What may not be used on these
// routes, because it holds or measures whole bodies: echo's BodyDump, Gzip,
// Timeout and BodyLimit, and validation of requests that reads them.
package restapi
