// Package link is how calls reach a PostgreSQL, directly or through a pooler. It knows no table.
//
// Every query goes through a [Conn], which holds what each call needs of its connection: the settings (see
// session.go) and a time limit. [Calls] are a pool of connections, and know what may be repeated
// after which failure; [Explain] says what the failures of connections mean.
package link
