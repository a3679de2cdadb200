package complete

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// BashRequest is the first argument of a completion request of the bash script. The others are the line up to the cursor, the part
// of it that bash will replace, and bash's COMP_TYPE.
const BashRequest = "__complete-bash"

// listing is the COMP_TYPE with which bash only lists the completions.
const listing = "63"

// Bash answers a request of the bash script: a line with instructions for bash, and a line for each completion, quoted for its
// place in the command line. ask runs a completion request for unquoted words and returns its output.
//
// bash passes the words with their quotes and does not quote the completions. Both are handled here, because the script could
// do so only by evaluating them.
func Bash(line, word, kind string, ask func(args []string) string) string {
	before, ok := strings.CutSuffix(line, word)
	whole, head := parseWords(line), parseWords(before)
	switch {
	case !ok || whole.live || whole.quote == ansi || len(whole.words) < 2 || len(head.words) != len(whole.words):
		return "files\n" // bash completes and quotes file names itself
	case redirects(whole.words[len(whole.words)-2]):
		return "files\n"
	}
	current := whole.words[len(whole.words)-1]
	flag := ""
	if at := strings.IndexByte(current, '='); at > 0 && current[0] == '-' {
		flag = current[:at+1]
	}
	values, descriptions, directive := readReply(ask(whole.words[1:]))
	offers := []string{"offers"} // with instructions for bash
	if directive&cobra.ShellCompDirectiveNoSpace != 0 {
		offers[0] += " nospace"
	}
	if directive&cobra.ShellCompDirectiveNoFileComp != 0 {
		offers[0] += " nofiles"
	}
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
		offers[1] += map[quoting]string{single: "'", double: `"`}[head.quote] // bash closes the quote itself, but not after an escaped quote
	}
	return strings.Join(offers, "\n") + "\n"
}

// readReply parses the answer to a completion request.
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

// redirects reports whether a word is an operator that is followed by a file name.
func redirects(word string) bool {
	rest := strings.TrimLeft(word, "0123456789&")
	return rest != "" && strings.Trim(rest, "<>|&") == ""
}

// quoting is the quoting in effect at a position of the line.
type quoting int

const (
	bare   quoting = iota
	single         // '…'
	double         // "…"
	ansi           // $'…'
)

// punctuation are the ASCII characters, besides letters and digits, that have no meaning for bash within a word.
const punctuation = "_./:=@%+,-"

// write quotes text so that bash reads it unchanged at a position with this quoting.
func (q quoting) write(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case q == single && c == '\'':
			b.WriteString(`'\''`)
		case q == double && c == '!': // history expansion; a backslash before it would stay in the text
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

// harmless characters have no meaning for bash within a word.
func harmless(c byte) bool {
	return c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(punctuation, c) >= 0
}

// parsed is the beginning of a command line, up to a position in it.
type parsed struct {
	words []string // without quotes; the last is the one at the position, and is empty after a space
	quote quoting  // at the position
	live  bool     // the last word contains an expansion, which only the shell can evaluate

	word  strings.Builder
	begun bool // the word has a character or a quote
}

// parseWords splits a line as bash does, without evaluating anything.
func parseWords(line string) *parsed {
	p := &parsed{}
	for line != "" {
		line = line[p.next(line):]
	}
	p.words = append(p.words, p.word.String())
	return p
}

// next consumes one character, or an escaped one, and returns its length in bytes.
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

// escaped consumes a backslash and the character that it escapes, unless the line ends after the backslash.
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
