// Package restapi serves the REST API that proto/rest/openapi.yaml describes.
// A handler parses the request, calls the engine and renders the result; it decides
// neither what a file is nor when it is durable.
//
// A request passes observe (request id, log, recovery), guard (the deadlines of
// a client that stalls), authenticate, and the generated binding of parameters.
// Errors come back as Go errors and become problem documents in one place, problem.go.
//
// Bodies are streamed in both directions. Do not use middleware
// that holds or measures whole bodies on these routes: echo's BodyDump, Gzip, Timeout
// and BodyLimit, and request validation that reads bodies.
package restapi
