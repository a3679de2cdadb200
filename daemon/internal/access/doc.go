// Package access authenticates the clients of a gateway.
//
// A client authenticates with an access key, which is a name, and a secret.
// Secrets are stored in the metadata store, sealed with a master key that only
// the gateways have ([MasterKey]), so that a reader of the database cannot sign requests.
// [Authenticator] checks the credentials of a request; [EnsureRoot] creates the first key.
//
// Every key may do everything, until there are policies.
package access
