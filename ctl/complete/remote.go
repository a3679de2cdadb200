package complete

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/term"
)

// most bounds the number of completions.
const most = 1000

// reading is how a command interprets the keys in its arguments.
type reading int

const (
	patterns reading = iota // with wildcards, unless --raw is given
	plain                   // literally
	unclear                 // either; names that the two interpret differently are not offered
)

// keys completes buckets, and after a bucket's slash the keys and folders directly below the prefix.
func (c *completer) keys(usual reading) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		rest, remote := strings.CutPrefix(word, address.Scheme)
		bucket, key, inBucket := strings.Cut(rest, "/")
		switch {
		case !remote || !inBucket:
			return c.buckets(cmd.Context(), word, "/"), inside
		case address.CheckBucket(bucket) != nil:
			return nil, done
		}
		r := usual
		if flag := cmd.Flags().Lookup("raw"); flag != nil && flag.Changed {
			r = plain
		}
		prefix, ok := r.prefix(key)
		if !ok {
			return nil, done
		}
		return c.list(cmd.Context(), client.Query{Bucket: bucket, Prefix: prefix, Delimiter: "/", PageSize: most}, r, word)
	}
}

// bucketNames completes buckets without a slash.
func (c *completer) bucketNames(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.buckets(cmd.Context(), word, ""), done
}

func (c *completer) buckets(ctx context.Context, word, end string) []cobra.Completion {
	scheme := address.Scheme[:min(len(word), len(address.Scheme))] // the part that was typed
	if !strings.HasPrefix(word, scheme) {
		return nil
	}
	server, err := c.server()
	if err != nil {
		return nil
	}
	buckets, err := server.Buckets(ctx)
	if err != nil {
		return nil
	}
	var names []cobra.Completion
	for _, b := range buckets {
		if name := address.Scheme + b.Name + end; strings.HasPrefix(name, word) {
			names = append(names, name)
		}
	}
	return names
}

func (c *completer) list(ctx context.Context, q client.Query, r reading, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	server, err := c.server()
	if err != nil {
		return nil, done
	}
	directive := done
	var names []cobra.Completion
	for e, err := range server.List(ctx, q) {
		if err != nil {
			return nil, done
		}
		if len(names) == most {
			// The common prefix of these need not be common to all names: offering the word itself keeps the shell
			// from extending it.
			return append(names, cobra.CompletionWithDesc(word, "there are more")), inside
		}
		rest, ok := r.write(e.Name[len(q.Prefix):])
		if !ok {
			continue
		}
		if e.File == nil {
			directive = inside
			names = append(names, word+rest)
			continue
		}
		names = append(names, cobra.CompletionWithDesc(word+rest, term.Size(e.File.Size)))
	}
	return names, directive
}

// prefix returns the literal prefix of keys that a partial key means; false if it contains wildcards.
func (r reading) prefix(written string) (string, bool) {
	if r == plain {
		return written, true
	}
	p, err := address.Compile(written)
	if err != nil || p.HasWildcards() || r == unclear && p.Prefix() != written {
		return "", false
	}
	return p.Prefix(), true
}

// wildcards escapes the special characters of a pattern.
var wildcards = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// write returns the rest of a key as it has to be written; false if that is not certain.
func (r reading) write(rest string) (string, bool) {
	switch written := wildcards.Replace(rest); r {
	case plain:
		return rest, true
	case unclear:
		return rest, written == rest
	default:
		return written, true
	}
}

// sessionWords completes session ids, and with --all addresses.
func (c *completer) sessionWords(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if all, err := cmd.Flags().GetBool("all"); err == nil && all {
		return after(c.keys(plain), cobra.NoFileCompletions)(cmd, args, word)
	}
	server, err := c.server()
	if err != nil {
		return nil, done
	}
	var ids []cobra.Completion
	for s, err := range server.Sessions(cmd.Context(), "", "") {
		if err != nil || len(ids) == most {
			return nil, done
		}
		if strings.HasPrefix(s.SessionID, word) {
			name := address.Remote{Bucket: s.Bucket, Key: s.Name}.String()
			ids = append(ids, cobra.CompletionWithDesc(s.SessionID, term.Clean(name)))
		}
	}
	return ids, done
}

// server returns a client that does not wait for a server that is away: the user waits for the completions.
func (c *completer) server() (*client.Client, error) {
	server, err := c.f.Client()
	if err != nil {
		return nil, err
	}
	return server.Once(), nil
}
