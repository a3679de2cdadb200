// Package link sends calls to a PostgreSQL server, directly or through a pooler. It knows no table.
//
// Every query uses a [Conn], which applies what each call needs of its connection: the settings (see
// session.go) and a time limit. [Calls] is a pool of connections, and decides what may be retried
// after which failure; [Explain] translates failures of connections.
package link
