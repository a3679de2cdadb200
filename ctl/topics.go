package ctl

import (
	"strings"

	"github.com/spf13/cobra"
)

// topics are the help topics: `s3ctl help addresses` and the like.
func topics() []*cobra.Command {
	list := []*cobra.Command{exitCodes()}
	for _, t := range []struct{ name, short, text string }{
		{"addresses", "How objects, files and streams are named, and how to quote them", addressesTopic},
		{"environment", "The environment variables and files that s3ctl reads", environmentTopic},
		{"profiles", "How s3ctl finds the server, and the key to use", profilesTopic},
		{"scripting", "What scripts can rely on", scriptingTopic},
	} {
		list = append(list, &cobra.Command{Use: t.name, Short: t.short, Long: strings.TrimSpace(t.text)})
	}
	return list
}

// exitCodes is a help topic: `s3ctl help exit-codes`.
func exitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("s3ctl ends with one of these codes. With --json an error has the name as \"code\" and the\nnumber as \"exit_code\".\n\n")
	b.WriteString(ExitCodeTable())
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimRight(b.String(), "\n")}
}

const addressesTopic = `
s3://BUCKET/KEY is an object, s3://BUCKET a bucket, "-" a standard stream, and everything
else a local path. A local file whose name looks like one of the others is written with
a folder before it:

  ./s3:notes   ./-

An argument that begins with "-" is a flag, unless it follows "--":

  s3ctl put -- -report.pdf s3://docs

A key is everything after the bucket's slash, byte by byte. It is a name, not a path: "..",
"//" and a leading slash have no meaning in it and are kept. A key is UTF-8 of 1 to 1024
bytes without NUL. Not every key is possible as a local path; get refuses those that would
leave the target folder. Such an object can be fetched alone under a name that you choose:

  s3ctl get --raw 's3://docs/../notes' notes

A slash at the end of an address means everything in it, and so does a bucket alone.
"s3://b/photos" is the object photos or, with -r, the folder; -r keeps the name "photos"
in the target, and "photos/" does not.

Commands that look up objects accept wildcards in keys. Their targets, and the addresses
of put, sync and diff, have no wildcards.

  *        any characters except "/", or none
  **       any characters, including "/", or none
  ?        one character except "/"
  [a-z]    one of these; [!a-z] or [^a-z] one of the others, never "/"
  \*       a literal star; \ makes every character literal

The shell interprets wildcards, backslashes, spaces and quotes, too. Put an address that
contains any of them into single quotes, so that s3ctl receives it unchanged:

  s3ctl rm 's3://photos/**.tmp'
  s3ctl stat 's3://docs/What now\?'

--raw turns wildcards and backslashes off, for keys from a list:

  s3ctl find --json s3://docs | jq --raw-output0 .address | xargs -0 s3ctl stat --raw --

A control character in a key, such as a newline, is shown as an escape (\n) in tables.
--json has all names unchanged.`

const environmentTopic = `
RINGSTORE_PROFILE names the profile to use. --profile takes precedence.

RINGSTORE_ENDPOINT, RINGSTORE_ACCESS_KEY and RINGSTORE_SECRET_KEY each replace a field of the
profile. With all three, s3ctl needs no profile, no file and no home folder, for example in
a container. "profile add" uses them for flags that are not given.

SSL_CERT_FILE and SSL_CERT_DIR replace the system's trusted certificate authorities: a file in
PEM format, or a folder of such files. For a server with a certificate of your own authority
set SSL_CERT_FILE=/path/ca.pem; verification cannot be turned off.

XDG_CONFIG_HOME is the folder of ringstore/profiles.json; the default is ~/.config.

XDG_STATE_HOME is the folder of ringstore/, in which s3ctl records the progress of unfinished
uploads; the default is ~/.local/state. It contains no file data. An upload whose record is
removed starts from the beginning. Without it and a home folder, uploads cannot be resumed.

A relative path in one of these two is ignored, as the XDG specification requires.

NO_PROXY, HTTP_PROXY and HTTPS_PROXY have their usual meaning.

"profile show" shows the result.`

const profilesTopic = `
A profile has what s3ctl needs to reach a server: its endpoint, an access key and the secret.
Profiles are stored in ringstore/profiles.json under $XDG_CONFIG_HOME or, if that is not set,
~/.config, in a file that only you can read (mode 0600). No command shows a secret.

  s3ctl profile add work --endpoint https://store.example.com --access-key RK7Q
  s3ctl profile use work
  s3ctl profile show

"profile add" asks for the secret, or reads it from a pipe as one line, or uses
RINGSTORE_SECRET_KEY; it is not a flag, since process lists and the shell's history would
show it. Before it saves the profile, it checks that the server is a gateway and accepts the key.

The profile in use is the first of these that is given:

  1. --profile NAME
  2. RINGSTORE_PROFILE
  3. the default, which "profile use" and "profile add --use" choose
  4. the profile "local", which a standalone server writes

RINGSTORE_ENDPOINT, RINGSTORE_ACCESS_KEY and RINGSTORE_SECRET_KEY then replace single
fields; with all three no profile is needed, unless 1 or 2 names one.
"profile show" shows the result, and where each field comes from.`

const scriptingTopic = `
Exit codes distinguish kinds of failure, and are the same for all commands: s3ctl help
exit-codes. A command that was done only in part never ends with 0.

Results are written to standard output and everything else to standard error. With --json
both are JSON, one object a line; docs/schema/s3ctl.json describes the lines of every
command. Fields may be added, but none is removed or changes its meaning.

In a pipe, results are tab-separated, without titles. Control characters in names are
written as escapes, so that a name is never more than one line.

--quiet suppresses successes. Errors are still reported.

A command that would ask a question fails with exit code 2 in a script, unless --yes is given.

Ctrl-C and SIGTERM end with 130. No incomplete file has its final name then, and the same
command resumes. A second signal ends s3ctl at once.`
