// Package term handles the standard streams: which are terminals, the format of tables and sizes there and in a pipe,
// questions to the user, and progress. Only this package uses the progress bar library.
package term

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"
)

// Streams are the three standard streams. Out is for results and Err for everything else, so that a pipe
// carries results only. Not safe for concurrent use, except through Progress.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	InTTY, OutTTY, ErrTTY bool
}

// Detect determines which streams are terminals; only files can be.
func Detect(in io.Reader, out, err io.Writer) *Streams {
	return &Streams{In: in, Out: out, Err: err, InTTY: isTTY(in), OutTTY: isTTY(out), ErrTTY: isTTY(err)}
}

func isTTY(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// CanAsk reports whether a question can be shown and answered.
func (s *Streams) CanAsk() bool { return s.InTTY && s.ErrTTY }

// Confirm asks a yes-or-no question on Err, escaped with Clean; any answer other than y or yes means no.
func (s *Streams) Confirm(question string) (bool, error) {
	if _, err := fmt.Fprintf(s.Err, "%s [y/N] ", Clean(question)); err != nil {
		return false, err
	}
	line, err := s.readLine()
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", err
}

// readLine reads a line from In; the end of the stream ends it, too.
func (s *Streams) readLine() (string, error) {
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// ReadSecret asks for a secret without echoing it. If In is not a terminal, it reads one line without asking.
func (s *Streams) ReadSecret(question string) (string, error) {
	f, ok := s.In.(*os.File)
	if !ok || !s.InTTY {
		return s.readLine()
	}
	if _, err := fmt.Fprintf(s.Err, "%s: ", question); err != nil {
		return "", err
	}
	secret, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(s.Err)
	return string(secret), err
}

// Clean makes a name safe to show: control characters and invalid UTF-8 become escapes, so that a name can neither control the
// terminal nor look like two lines. Other names are unchanged.
func Clean(name string) string {
	if !strings.ContainsFunc(name, hidden) && utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, w := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && w == 1:
			fmt.Fprintf(&b, `\x%02x`, name[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += w
	}
	return b.String()
}

// hidden reports control characters, characters that change the text direction, and invisible ones, with which one name could
// look like another. Joiners are part of many scripts and are not hidden.
func hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	switch {
	case r < 0x7f:
		return r < ' '
	case r == nonJoiner, r == joiner:
		return false
	case unicode.Is(unicode.Cf, r):
		return !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

// CleanJSON makes JSON safe to show: the characters that Clean replaces become JSON escapes, so that parsers read the same
// text.
func CleanJSON(data []byte) []byte {
	shown := func(r rune) bool { return r == '\n' || !hidden(r) } // newlines separate values
	if !bytes.ContainsFunc(data, func(r rune) bool { return !shown(r) }) {
		return data
	}
	var b bytes.Buffer
	for _, r := range string(data) {
		if shown(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.Bytes()
}

// Size formats a number of bytes for the user: 1.5 GiB.
func Size(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return humanize.IBytes(uint64(n))
}

// Count formats a number and its noun: "1 file", "1,234 files".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}
