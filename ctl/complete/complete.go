// Package complete implements shell completion: commands and flags come from cobra, arguments and values from here. Buckets
// and keys are requested from the server, for at most two seconds. After an error nothing is offered and nothing is printed,
// since the user is editing a command line.
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
	"github.com/ringstore/ringstore/profile"
)

// patience bounds the requests to the server.
const patience = 2 * time.Second

// offer returns the completions of the word under the cursor. args are the words before it.
type offer func(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective)

// offers has the completion of each command's arguments.
var offers = map[string]offer{
	"s3ctl put":           after(files, orFiles(keys(plain))),
	"s3ctl get":           after(keys(patterns), orFiles(keys(patterns))),
	"s3ctl ls":            keys(patterns),
	"s3ctl rm":            keys(patterns),
	"s3ctl stat":          keys(patterns),
	"s3ctl cat":           keys(patterns),
	"s3ctl du":            keys(patterns),
	"s3ctl find":          keys(patterns),
	"s3ctl verify":        keys(patterns),
	"s3ctl tree":          after(keys(patterns), nothing),
	"s3ctl cp":            after(keys(patterns), keys(unclear)), // a later one may be the target, without wildcards
	"s3ctl mv":            after(keys(patterns), keys(unclear)),
	"s3ctl sync":          orFiles(keys(plain)),
	"s3ctl diff":          orFiles(keys(plain)),
	"s3ctl bucket create": nothing,
	"s3ctl bucket ls":     nothing,
	"s3ctl bucket rm":     bucketNames,
	"s3ctl session ls":    after(keys(plain), nothing),
	"s3ctl session abort": sessionWords,
	"s3ctl profile add":   nothing,
	"s3ctl profile ls":    nothing,
	"s3ctl profile rm":    after(profileNames, nothing),
	"s3ctl profile show":  after(profileNames, nothing),
	"s3ctl profile use":   after(profileNames, nothing),
	"s3ctl completion":    nil, // cobra completes its ValidArgs
	"s3ctl version":       nothing,
	"s3ctl man":           commandWords,
	"s3ctl help":          commandWords,
}

// flagOffers has the completion of flag values, by the flag's name. Values of other flags have none.
var flagOffers = map[string]offer{
	"profile":  profileNames,
	"progress": words("auto", "bar", "log", "json", "none"),
	"survive":  words("0", "1", "2", "3"),
	"dir":      files,
}

// Knows reports whether the completion of a command's arguments is defined here.
func Knows(cmd *cobra.Command) bool {
	_, known := offers[cmd.CommandPath()]
	return known
}

// completer has what offers need.
type completer struct {
	f   *cli.Factory
	cmd *cobra.Command
}

// Attach adds completion to root and all commands below it. A command that is not in offers completes addresses and local
// files.
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
		_ = cmd.RegisterFlagCompletionFunc(flag.Name, c.run(o)) // fails only for an unknown flag or a second function
	}
	cmd.LocalFlags().VisitAll(flagsOf)
	if !cmd.Runnable() || cmd.HasSubCommands() {
		return
	}
	o, known := offers[cmd.CommandPath()]
	if !known {
		o = orFiles(keys(plain))
	}
	if o != nil {
		cmd.ValidArgsFunction = c.run(o)
	}
}

// run runs an offer with its time limit, and drops completions that cannot be passed to the shell.
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

// unprintable reports characters that would end the line on which a name is passed to the shell, control the terminal, or change
// the text direction; and invalid UTF-8, which could be confused with another name.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// Directives for the shell.
const (
	inside = cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp // the word may continue
	done   = cobra.ShellCompDirectiveNoFileComp
	local  = cobra.ShellCompDirectiveDefault // the shell completes local files
)

var (
	nothing = fixed(done)
	files   = fixed(local)
)

// words offers a fixed list.
func words(list ...string) offer { return fixed(done, list...) }

func fixed(directive cobra.ShellCompDirective, list ...string) offer {
	return func(context.Context, *completer, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return slices.Clone(list), directive
	}
}

// after completes the first argument with one offer, and all others with another.
func after(one, others offer) offer {
	return func(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return others(ctx, c, args, word)
		}
		return one(ctx, c, args, word)
	}
}

// orFiles completes an address if the word begins like one, and otherwise a local file.
func orFiles(o offer) offer {
	return func(ctx context.Context, c *completer, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if address.IsRemote(word) {
			return o(ctx, c, args, word)
		}
		return nil, local
	}
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

// commandWords completes commands and topics word by word.
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
