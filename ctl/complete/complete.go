// Package complete is what a shell is offered on Tab: commands and flags come from cobra, and
// the rest from here. Buckets and keys are asked from the server, in at most two seconds. Where
// something fails nothing is offered, and nothing is said: somebody is in the middle of a line.
package complete

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/profile"
)

// patience is how long the server is asked for.
const patience = 2 * time.Second

// offer finds what the word under the cursor may become. args are the words before it.
type offer func(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective)

// offers are what the arguments of each command can be. Flags are in flagOffers.
var offers = map[string]offer{
	"s3ctl put":           putWords,
	"s3ctl get":           getWords,
	"s3ctl ls":            keys(patterns),
	"s3ctl rm":            keys(patterns),
	"s3ctl stat":          keys(patterns),
	"s3ctl cat":           keys(patterns),
	"s3ctl du":            keys(patterns),
	"s3ctl find":          keys(patterns),
	"s3ctl verify":        keys(patterns),
	"s3ctl tree":          first(keys(patterns)),
	"s3ctl cp":            ontoWords,
	"s3ctl mv":            ontoWords,
	"s3ctl sync":          either,
	"s3ctl diff":          either,
	"s3ctl bucket create": nothing,
	"s3ctl bucket ls":     nothing,
	"s3ctl bucket rm":     bucketNames,
	"s3ctl session ls":    first(keys(plain)),
	"s3ctl session abort": sessionWords,
	"s3ctl profile add":   nothing,
	"s3ctl profile ls":    nothing,
	"s3ctl profile rm":    first(profileNames),
	"s3ctl profile show":  first(profileNames),
	"s3ctl profile use":   first(profileNames),
	"s3ctl completion":    nil, // cobra knows its words
	"s3ctl version":       nothing,
	"s3ctl man":           commandWords,
	"s3ctl help":          commandWords,
}

// flagOffers are what the values of flags can be, by the flag's name. What takes a value and is not here offers none.
var flagOffers = map[string]offer{
	"profile":  profileNames,
	"progress": words("auto", "bar", "log", "json", "none"),
	"survive":  words("0", "1", "2", "3"),
	"dir":      files,
}

// Knows reports whether it was said here what the arguments of a command can be.
func Knows(cmd *cobra.Command) bool {
	_, known := offers[cmd.CommandPath()]
	return known
}

// completer is what the offers need.
type completer struct {
	f   *cli.Factory
	cmd *cobra.Command
}

// Attach makes root and all commands below it offer what their arguments and flags can be.
// A command that is not known here offers addresses where one was begun, and local files.
func Attach(root *cobra.Command, f *cli.Factory) {
	root.InitDefaultHelpCmd()
	attach(root, f)
}

func attach(cmd *cobra.Command, f *cli.Factory) {
	for _, below := range cmd.Commands() {
		attach(below, f)
	}
	c := &completer{f: f, cmd: cmd}
	flagsOf := func(flag *pflag.Flag) {
		if _, has := cmd.GetFlagCompletionFunc(flag.Name); flag.NoOptDefVal != "" || has {
			return
		}
		o, known := flagOffers[flag.Name]
		if !known {
			o = nothing
		}
		_ = cmd.RegisterFlagCompletionFunc(flag.Name, c.run(o)) // the flag is there, and has none
	}
	cmd.LocalFlags().VisitAll(flagsOf)
	if !cmd.Runnable() || cmd.HasSubCommands() {
		return
	}
	o, known := offers[cmd.CommandPath()]
	if !known {
		o = either
	}
	if o != nil {
		cmd.ValidArgsFunction = c.run(o)
	}
}

// run gives an offer its two seconds. A word that the shell could not be given back is left out.
func (c *completer) run(o offer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		found, directive := o(ctx, c, args, word)
		found = slices.DeleteFunc(found, func(one cobra.Completion) bool {
			value, description, _ := strings.Cut(one, "\t")
			return strings.ContainsFunc(value+description, unprintable)
		})
		return found, directive
	}
}

// unprintable characters would end the line that a name is handed to the shell in, steer the terminal, or change the order of what it
// shows; bytes that are no text cannot be told from another name's.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// What a shell does with the words that it was given.
const (
	inside = cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp // more may follow
	done   = cobra.ShellCompDirectiveNoFileComp
	local  = cobra.ShellCompDirectiveDefault // local files, by the shell itself
)

func nothing(context.Context, *completer, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, done
}

func files(context.Context, *completer, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, local
}

// words offers these.
func words(list ...string) offer {
	return func(context.Context, *completer, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return slices.Clone(list), done
	}
}

// first offers something for the first argument alone.
func first(o offer) offer {
	return func(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, done
		}
		return o(ctx, c, args, word)
	}
}

// either is for an address or a local file: what was begun decides.
func either(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if address.IsRemote(word) {
		return keys(plain)(ctx, c, args, word)
	}
	return nil, local
}

// putWords: local files, and addresses from the second word on.
func putWords(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, local
	}
	return either(ctx, c, args, word)
}

// getWords: addresses, and from the second word on local files.
func getWords(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 && !address.IsRemote(word) {
		return nil, local
	}
	return keys(patterns)(ctx, c, args, word)
}

// ontoWords: the first is a source, which knows wildcards; a later one may be the target, which does not.
func ontoWords(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return keys(patterns)(ctx, c, args, word)
	}
	return keys(unclear)(ctx, c, args, word)
}

func profileNames(_ context.Context, c *completer, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	file, err := c.f.Profiles()
	if err != nil {
		return nil, done
	}
	set, err := file.Load()
	if err != nil {
		return nil, done
	}
	var names []cobra.Completion
	for _, name := range set.Names() {
		if profile.CheckName(name) == nil {
			names = append(names, cobra.CompletionWithDesc(name, set.Profiles[name].Endpoint))
		}
	}
	return names, done
}

// commandWords offers commands and topics, a word at a time.
func commandWords(_ context.Context, c *completer, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	at := c.cmd.Root()
	for _, arg := range args {
		below := slices.IndexFunc(at.Commands(), func(one *cobra.Command) bool { return one.Name() == arg })
		if below < 0 {
			return nil, done
		}
		at = at.Commands()[below]
	}
	var names []cobra.Completion
	for _, one := range at.Commands() {
		if one.IsAvailableCommand() || one.IsAdditionalHelpTopicCommand() {
			names = append(names, cobra.CompletionWithDesc(one.Name(), one.Short))
		}
	}
	return names, done
}
