// Package session has the commands for unfinished uploads: `s3ctl session ls` and `abort`.
package session

import (
	"context"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/rest"
)

// New returns the command with its subcommands.
func New(f *cli.Factory) *cobra.Command {
	return cli.Noun(&cobra.Command{Use: "session COMMAND", Short: "List and abort unfinished uploads"}, NewLs(f), NewAbort(f))
}

// find yields the sessions for an address: of the object with that key and of everything under it. An empty
// address means all buckets.
func find(ctx context.Context, c *client.Client, at address.Remote) iter.Seq2[rest.Session, error] {
	return func(yield func(rest.Session, error) bool) {
		for s, err := range c.Sessions(ctx, at.Bucket, at.Key) {
			if err == nil && s.Name != at.Key && !strings.HasPrefix(s.Name, at.Folder()) {
				continue
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// shown is the --json line for a session.
type shown struct {
	SessionID string `json:"session_id"`
	Address   string `json:"address"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Size      *int64 `json:"size,omitempty"` // omitted if unknown
	Received  int64  `json:"received"`
	Created   string `json:"created_at"`
	Expires   string `json:"expires_at"`
	DryRun    bool   `json:"dry_run,omitempty"`
}

func describe(s rest.Session) shown {
	line := shown{
		SessionID: s.SessionID, Address: address.Remote{Bucket: s.Bucket, Key: s.Name}.String(), Bucket: s.Bucket, Key: s.Name,
		Received: s.Received, Created: cli.Time(s.CreatedAt), Expires: cli.Time(s.ExpiresAt),
	}
	if s.Size >= 0 {
		line.Size = &s.Size
	}
	return line
}

// progress describes how much of a session has arrived.
func progress(s rest.Session) string { return term.Size(s.Received) + " of " + term.Size(s.Size) }
