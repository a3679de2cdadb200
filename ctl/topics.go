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
	b.WriteString("s3ctl ends with one of these codes. With --json an error carries the code's name as\n\"code\" and the number as \"exit_code\".\n\n")
	b.WriteString(ExitCodeTable())
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimRight(b.String(), "\n")}
}

const addressesTopic = `
s3://BUCKET/KEY names an object, s3://BUCKET its bucket, "-" a standard stream, and
everything else a local path. A local file whose name looks like one of the others
is written with a folder before it:

  ./s3:notes   ./-

A word that begins with "-" is a flag, unless it comes after "--":

  s3ctl put -- -report.pdf s3://docs

A key is all that follows the bucket's slash, to the byte. It is a name, not a path:
"..", "//" and a slash at its beginning mean nothing in it and are kept. A key is UTF-8 of 1 to
1024 bytes without NUL. As a local path not every key will do; get refuses those that would
leave the target folder, and fetches each of them alone under a name of your own:

  s3ctl get --raw 's3://docs/../notes' notes

A slash at the end of an address means "what is in it", as does the bucket alone.
"s3://b/photos" is the object photos or, with -r, the folder; -r keeps the name "photos"
in the target, and "photos/" does not.

Commands that look objects up know wildcards in keys. Their targets, and the addresses
of put, sync and diff, are taken as they are written.

  *        any characters but "/", also none
  **       any characters, also "/" and none
  ?        one character but "/"
  [a-z]    one of these; [!a-z] or [^a-z] one of the others, never "/"
  \*       a plain star; \ does this for every character

Your shell has wildcards, too, and reads backslashes, blanks and quotes. Put an address
that has any of them into single quotes, so that s3ctl sees what you wrote:

  s3ctl rm 's3://photos/**.tmp'
  s3ctl stat 's3://docs/What now\?'

--raw switches wildcards and backslashes off, for keys that come from a list:

  s3ctl find --json s3://docs | jq --raw-output0 .address | xargs -0 s3ctl stat --raw --

In a key with a control character, such as a line's end, tables show an escape (\n).
--json has all names as they are.`

const environmentTopic = `
RINGSTORE_PROFILE names the profile to use. --profile goes before it.

RINGSTORE_ENDPOINT, RINGSTORE_ACCESS_KEY and RINGSTORE_SECRET_KEY replace what the profile
says, each for itself. All three together need no profile at all, no file and no home: that
is how a container runs s3ctl. "profile add" takes from them what its flags do not say.

SSL_CERT_FILE and SSL_CERT_DIR name the authorities whose certificates are trusted: a file in PEM
form, or a folder of such, in place of the system's. A server with a certificate of your own
authority is reached with SSL_CERT_FILE=/path/ca.pem; there is no way to trust any certificate.

XDG_CONFIG_HOME is the folder for ringstore/profiles.json; ~/.config where it is not set.

XDG_STATE_HOME is the folder for ringstore/, where s3ctl keeps how far transfers are that
were interrupted; ~/.local/state where it is not set. It holds no file's bytes. What is
removed there starts from the beginning. Without it and a home, uploads cannot be resumed.

A relative path in one of these two is passed over, as the XDG specification says.

NO_PROXY, HTTP_PROXY and HTTPS_PROXY are those of all programs.

"profile show" says what they lead to.`

const profilesTopic = `
A profile says how to reach a server: its endpoint, an access key and the secret. Profiles are kept
in ringstore/profiles.json under $XDG_CONFIG_HOME, or ~/.config where that is not set, in a
file of mode 0600 that you alone can read. No command shows a secret.

  s3ctl profile add work --endpoint https://store.example.com --access-key RK7Q
  s3ctl profile use work
  s3ctl profile show

"profile add" asks for the secret, or reads it from a pipe as one line, or takes it from
RINGSTORE_SECRET_KEY; it is no flag, since lists of processes and the shell's history would
show it. Before it saves anything, it asks the server whether it is one and takes the key.

The profile in use is the first of these that there is:

  1. --profile NAME
  2. RINGSTORE_PROFILE
  3. the default, which "profile use" and "profile add --use" choose
  4. the profile "local", which a standalone server writes

RINGSTORE_ENDPOINT, RINGSTORE_ACCESS_KEY and RINGSTORE_SECRET_KEY then replace single
fields; all three together need no profile, unless one was asked for by 1 or 2.
"profile show" shows the outcome, and where each field of it is from.`

const scriptingTopic = `
Exit codes tell kinds of failure apart, and are the same for all commands: s3ctl help
exit-codes. Nothing that was done in part ends with 0.

Results go to standard output and everything else to standard error. With --json both
are JSON, one object a line; docs/schema/s3ctl.json describes the lines of every command.
Fields may be added, and none is removed or given another meaning.

In a pipe, results are tab-separated, without titles. Control characters in names are
shown as escapes there, so that a name is never two lines.

--quiet silences what went well. Errors are still told.

Where a person would be asked, a script is refused with exit code 2, unless it says --yes.

Ctrl-C and SIGTERM end with 130. Nothing is half done under its name then, and the same
command goes on from there. A second one ends s3ctl at once.`
