package complete

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// BashRequest is the first argument by which the script for bash asks: behind it come the line up to the cursor, the part of it that bash
// will replace, and bash's COMP_TYPE.
const BashRequest = "__complete-bash"

// listing is the COMP_TYPE with which bash only shows what it is given.
const listing = "63"

// Bash answers the script for bash: a line of what bash is to do, and a line for each offer, quoted for the place in the line
// that it is put in. ask runs a completion request for words without quotes, and returns what it writes.
//
// Bash does not quote what a function offers, and gives it the words as they are written. Both are done here and not by the
// shell, which could only do it by evaluating them.
func Bash(line, word, kind string, ask func(args []string) string) string {
	before, ok := strings.CutSuffix(line, word)
	whole, head := parseWords(line), parseWords(before)
	switch {
	case !ok || whole.live || whole.quote == ansi || len(whole.words) < 2 || len(head.words) != len(whole.words):
		return "files\n" // bash has names of files, and knows how to quote them
	case redirects(whole.words[len(whole.words)-2]):
		return "files\n"
	}
	current := whole.words[len(whole.words)-1]
	flag := ""
	if at := strings.IndexByte(current, '='); at > 0 && current[0] == '-' {
		flag = current[:at+1]
	}
	values, descriptions, directive := readReply(ask(whole.words[1:]))
	offers := []string{orders(directive)}
	for i, value := range values {
		rest, ok := strings.CutPrefix(flag+value, head.words[len(head.words)-1])
		if !ok || !strings.HasPrefix(flag+value, current) {
			continue
		}
		text := head.quote.write(rest)
		if kind == listing && len(values) > 1 && descriptions[i] != "" {
			text += "  (" + descriptions[i] + ")"
		}
		offers = append(offers, text)
	}
	if len(offers) == 2 && directive&cobra.ShellCompDirectiveNoSpace == 0 {
		offers[1] += head.quote.end() // bash does it itself, but not behind an escaped quote
	}
	return strings.Join(offers, "\n") + "\n"
}

// orders are what bash is to do with the offers.
func orders(directive cobra.ShellCompDirective) string {
	text := "offers"
	if directive&cobra.ShellCompDirectiveNoSpace != 0 {
		text += " nospace"
	}
	if directive&cobra.ShellCompDirectiveNoFileComp != 0 {
		text += " nofiles"
	}
	return text
}

// readReply reads the answer to a completion request.
func readReply(reply string) (values, descriptions []string, directive cobra.ShellCompDirective) {
	lines := strings.Split(strings.TrimSuffix(reply, "\n"), "\n")
	last := len(lines) - 1
	if _, err := fmt.Sscanf(lines[last], ":%d", &directive); err != nil {
		return nil, nil, done
	}
	for _, line := range lines[:last] {
		value, description, _ := strings.Cut(line, "\t")
		values, descriptions = append(values, value), append(descriptions, description)
	}
	return values, descriptions, directive
}

// redirects reports whether a word is an operator behind which a file is named.
func redirects(word string) bool {
	rest := strings.TrimLeft(word, "0123456789&")
	return rest != "" && strings.Trim(rest, "<>|&") == ""
}

// quoting is how the characters at a place in a line are read.
type quoting int

const (
	bare   quoting = iota
	single         // '…'
	double         // "…"
	ansi           // $'…'
)

// punctuation are the ASCII characters, beside letters and digits, that mean nothing to bash in the middle of a word.
const punctuation = "_./:=@%+,-"

// write writes text so that bash reads it as it is, at a place with this quoting.
func (q quoting) write(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case q == single && c == '\'':
			b.WriteString(`'\''`)
		case q == double && c == '!': // means something within double quotes, and keeps a backslash before it
			b.WriteString(`"'!'"`)
		case q == double && strings.IndexByte("\\\"$`", c) >= 0, q == bare && !harmless(c):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// end is what ends the quotes.
func (q quoting) end() string {
	switch q {
	case single:
		return "'"
	case double:
		return `"`
	}
	return ""
}

// harmless characters mean nothing to bash in the middle of a word.
func harmless(c byte) bool {
	return c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(punctuation, c) >= 0
}

// parsed is the beginning of a command line, up to a place in it.
type parsed struct {
	words []string // without quotes; the last is the one at the end, and is empty behind a blank
	quote quoting  // at the end
	live  bool     // the last word has something in it that only the shell can tell the value of

	word  strings.Builder
	begun bool // a character or a quote of the word was seen
}

// parseWords parses a line as bash does, and evaluates nothing.
func parseWords(line string) *parsed {
	p := &parsed{}
	for line != "" {
		line = line[p.next(line):]
	}
	p.words = append(p.words, p.word.String())
	return p
}

// next takes one character, or an escaped one, and returns how many bytes that was.
func (p *parsed) next(line string) int {
	c := line[0]
	if p.quote == bare && (c == ' ' || c == '\t') {
		if p.begun {
			p.words = append(p.words, p.word.String())
			p.word.Reset()
		}
		p.begun, p.live = false, false
		return 1
	}
	p.begun = true
	if c == '\\' && p.quote != single {
		return p.escaped(line)
	}
	switch {
	case c == '\'' && p.quote == bare:
		p.quote = single
	case c == '"' && p.quote == bare:
		p.quote = double
	case c == '\'' && p.quote != double, c == '"' && p.quote == double:
		p.quote = bare
	case p.quote == bare && strings.HasPrefix(line, "$'"):
		p.quote = ansi
		return 2
	default:
		p.live = p.live || p.quote != single && (c == '$' || c == '`')
		p.word.WriteByte(c)
	}
	return 1
}

// escaped takes a backslash and what it escapes. At the end of the line that is not written yet.
func (p *parsed) escaped(line string) int {
	if len(line) == 1 {
		return 1
	}
	if p.quote == double && strings.IndexByte("\\\"$`", line[1]) < 0 {
		p.word.WriteByte('\\')
	}
	p.word.WriteByte(line[1])
	return 2
}
