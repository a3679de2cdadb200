// Package httpedge is what the gateway's HTTP surfaces share: the server with its limits
// and time limits, request ids, logging and recovery, authentication, the origins of web
// pages, client addresses behind proxies, ranges, conditions, checksum headers, and problem
// documents. A surface registers its routes on a router that [New] has prepared.
//
// A request passes, in this order: observe (request id, deadlines, log, recovery),
// crossOrigin, authenticate, and wellFormed. Handlers return errors; they are rendered in one place, see [Errors].
//
// What the edge knows of a request is kept in its response writer, one allocation per
// request: [Body], [Interrupter], [Trailer] and [Caller] read it. They may be called from
// handlers of a router that New has prepared, and from nowhere else.
package httpedge
