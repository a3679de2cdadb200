// Package access decides who may speak to a gateway.
//
// A client proves itself with an access key, which is a name, and a secret.
// Secrets are kept in the metadata store, sealed with a master key that only
// the gateways have ([MasterKey]), so that who reads the database can sign nothing.
// [Authenticator] checks what a request brings; [EnsureRoot] makes the first key.
//
// Every key may do everything, until there are policies.
package access
