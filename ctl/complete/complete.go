// Package complete implements shell completion: commands and flags come from cobra, arguments and values from here. Buckets
// and keys are requested from the server, for at most two seconds. After an error nothing is offered and nothing is printed,
// since the user is editing a command line.
package complete

import (
	"cmp"
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

// completer has what completions need.
type completer struct{ f *cli.Factory }

// arguments has the completion of each command's arguments.
func (c *completer) arguments() map[string]cobra.CompletionFunc {
	nothing, objects, either := cobra.NoFileCompletions, c.keys(patterns), orFiles(c.keys(plain))
	onto := after(objects, c.keys(unclear)) // a later one may be the target, without wildcards
	profiles := after(c.profileNames, nothing)
	return map[string]cobra.CompletionFunc{
		"s3ctl put":           after(files, either),
		"s3ctl get":           after(objects, orFiles(objects)),
		"s3ctl ls":            objects,
		"s3ctl rm":            objects,
		"s3ctl stat":          objects,
		"s3ctl cat":           objects,
		"s3ctl head":          objects,
		"s3ctl tail":          objects,
		"s3ctl mb":            nothing,
		"s3ctl rb":            c.bucketNames,
		"s3ctl du":            objects,
		"s3ctl find":          objects,
		"s3ctl verify":        objects,
		"s3ctl tree":          after(objects, nothing),
		"s3ctl cp":            orFiles(onto),
		"s3ctl mv":            onto,
		"s3ctl sync":          either,
		"s3ctl diff":          either,
		"s3ctl bucket create": nothing,
		"s3ctl bucket ls":     nothing,
		"s3ctl bucket rm":     c.bucketNames,
		"s3ctl session ls":    after(c.keys(plain), nothing),
		"s3ctl session abort": c.sessionWords,
		"s3ctl profile add":   nothing,
		"s3ctl profile ls":    nothing,
		"s3ctl profile rm":    profiles,
		"s3ctl profile show":  profiles,
		"s3ctl profile use":   profiles,
		"s3ctl completion":    nil, // cobra completes its ValidArgs
		"s3ctl version":       nothing,
		"s3ctl man":           commandWords,
		"s3ctl help":          commandWords,
	}
}

// flagValues has the completion of flag values, by the flag's name. Values of other flags have none.
func (c *completer) flagValues() map[string]cobra.CompletionFunc {
	return map[string]cobra.CompletionFunc{
		"profile":  c.profileNames,
		"progress": cobra.FixedCompletions([]cobra.Completion{"auto", "bar", "log", "json", "none"}, done),
		"survive":  cobra.FixedCompletions([]cobra.Completion{"0", "1", "2", "3"}, done),
		"dir":      files,
	}
}

// Knows reports whether the completion of a command's arguments is defined here.
func Knows(cmd *cobra.Command) bool {
	_, known := (&completer{}).arguments()[cmd.CommandPath()]
	return known
}

// Attach adds completion to root and all commands below it. A command that is not in arguments completes addresses and local
// files.
func Attach(root *cobra.Command, f *cli.Factory) {
	root.InitDefaultHelpCmd()
	(&completer{f}).attach(root)
}

func (c *completer) attach(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		c.attach(below)
	}
	values := c.flagValues()
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if _, has := cmd.GetFlagCompletionFunc(flag.Name); flag.NoOptDefVal != "" || has {
			return
		}
		value, known := values[flag.Name]
		if !known {
			value = cobra.NoFileCompletions
		}
		_ = cmd.RegisterFlagCompletionFunc(flag.Name, limited(value)) // fails only for an unknown flag or a second function
	})
	if !cmd.Runnable() || cmd.HasSubCommands() {
		return
	}
	argument, known := c.arguments()[cmd.CommandPath()]
	if !known {
		argument = orFiles(c.keys(plain))
	}
	if argument != nil {
		cmd.ValidArgsFunction = limited(argument)
	}
}

// limited limits the time of a completion, and drops names that cannot be passed to the shell.
func limited(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmp.Or(cmd.Context(), context.Background()), patience)
		defer cancel()
		cmd.SetContext(ctx)
		found, directive := complete(cmd, args, word)
		found = slices.DeleteFunc(slices.Clone(found), func(one cobra.Completion) bool {
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

var files = cobra.FixedCompletions(nil, local)

// after completes the first argument in one way, and all others in another.
func after(one, others cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return others(cmd, args, word)
		}
		return one(cmd, args, word)
	}
}

// orFiles completes an address if the word begins like one, and otherwise a local file.
func orFiles(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if address.IsRemote(word) {
			return complete(cmd, args, word)
		}
		return nil, local
	}
}

func (c *completer) profileNames(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
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
func commandWords(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	at := cmd.Root()
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
