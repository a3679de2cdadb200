// Package term is what s3ctl knows of the terminal: which streams are one, how
// tables and sizes look there and in a pipe, questions to a person, and the
// progress bar, the only place that knows the library for it.
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

// Streams are the three standard streams and what is known of them. Out is for
// results and Err for everything else, so that a pipe carries results alone.
// Not for use by several goroutines at once, but for Bar, which takes turns.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	InTTY, OutTTY, ErrTTY bool
}

// Detect looks at the streams; only files can be terminals.
func Detect(in io.Reader, out, err io.Writer) *Streams {
	return &Streams{In: in, Out: out, Err: err, InTTY: isTTY(in), OutTTY: isTTY(out), ErrTTY: isTTY(err)}
}

func isTTY(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// CanAsk reports whether there is a person to ask.
func (s *Streams) CanAsk() bool { return s.InTTY && s.ErrTTY }

// Confirm asks a yes-or-no question, made safe with Clean, on Err; anything but y or yes is no.
func (s *Streams) Confirm(question string) (bool, error) {
	if _, err := fmt.Fprintf(s.Err, "%s [y/N] ", Clean(question)); err != nil {
		return false, err
	}
	line, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// ReadSecret asks for a secret without showing it. In a pipe it reads one line, unasked.
func (s *Streams) ReadSecret(question string) (string, error) {
	f, ok := s.In.(*os.File)
	if !ok || !s.InTTY {
		line, err := bufio.NewReader(s.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	if _, err := fmt.Fprintf(s.Err, "%s: ", question); err != nil {
		return "", err
	}
	secret, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(s.Err)
	return string(secret), err
}

// Clean makes a name safe to show: control characters and bytes that are no
// text are written as escapes, so that a name can neither steer a terminal nor
// pass for two lines. Names without such are unchanged.
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

// hidden: control characters, those that change the order of what is shown, and those that are not seen at all, with
// which one name could pass for another. Joiners are part of many scripts and are shown.
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

// CleanJSON makes JSON safe to show: the characters that Clean replaces become the escapes that JSON has for
// them, so that every reader gets the same text as before. JSON without such is returned as it is.
func CleanJSON(data []byte) []byte {
	shown := func(r rune) bool { return r == '\n' || !hidden(r) } // a line's end stands between values
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

// Size shows a number of bytes to a person: 1.5 GiB.
func Size(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return humanize.IBytes(uint64(n))
}

// Count shows a number and its noun: "1 file", "1,234 files".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}
