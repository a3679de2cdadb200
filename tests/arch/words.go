package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// phrase is an expression that comments and messages do not use, and what the field says instead.
type phrase struct {
	not *regexp.Regexp
	but string
}

// phrases may only grow: each entry was once common in this tree and made readers stop.
var phrases = compile([][2]string{
	{`reckon(s|ed|ing)?`, "compute, computed"},
	{`anew`, "restarts, recreates, again"},
	{`(hear|hears|heard) of`, "is called with, receives"},
	{`(is|are|be|was|were) told of`, "is called with, receives"},
	{`whoever`, "the caller (or name the component)"},
	{`nobody`, "no one, no caller (or name the component)"},
	{`somebody`, "the caller (or name the component)"},
	{`those who`, "callers that (or name the component)"},
	{`(goes|go|went|gone) on( with)?`, "continues, resumes"},
	{`under way`, "in progress"},
	{`on (its|their) way`, "in flight"},
	{`(written|writes?|wrote|writing) down`, "recorded, stores"},
	{`(is|are|be|was|were) gone`, "is deleted, is removed, no longer exists"},
	{`goes`, "is deleted, is removed, is sent (say which)"},
	{`(hangs? )?aside`, "in the background"},
	{`lest`, "so that ... not"},
	{`(gives?|gave|given|giving)( [a-z]+){0,3} up`, "aborts, abandons, stops retrying"},
	{`asked of`, "required of (name it)"},
	{`of whom`, "name it"},
	{`(takes?|taken|took|taking) apart`, "parses"},
	{`(puts?|putting) together`, "assembled"},
	{`at rest`, "idle (keep \"at rest\" for encryption)"},
	{`(is|are|that) none`, "is not valid"},
	{`is no (time|number|name|key|size|range)`, "is not a valid ..."},
	{`what hangs`, "a call that hangs does not block the caller"},
	{`gladly`, "preferred, in order of preference"},
	{`fellows`, "the other chunks of the part, peers"},
	{`manners`, "protocol headers"},
	{`(stands?|stood) there`, "is present"},
	{`broke off|breaks off|broken off|break off`, "was interrupted, ended early, is closed"},
	{`in vain`, "without effect, needlessly"},
	{`(has|have|had) to say`, "reports, logs"},
	{`betimes|thereof|therein|wherein|hence|albeit|thereby`, "plain words"},
	{`as yet`, "so far, not yet"},
	{`for ever`, "indefinitely, permanently"},
	{`whatever others`, "name what is meant"},
	{`(lies|lie|lay) in wait`, "waits"},
	{`of its own accord`, "by itself"},
	{`hands? out`, "returns"},
})

// encryption is the one use of "at rest" that is the field's.
var encryption = regexp.MustCompile(`(?i)encrypt(ion|ed|s)?( data)? at rest`)

func compile(table [][2]string) []phrase {
	out := make([]phrase, len(table))
	for i, row := range table {
		out[i] = phrase{regexp.MustCompile(`(?i)\b(` + row[0] + `)\b`), row[1]}
	}
	return out
}

// find returns the phrases of the text, each with what to write instead.
func find(text string) (found []string) {
	text = encryption.ReplaceAllString(strings.Join(strings.Fields(text), " "), "")
	for _, p := range phrases {
		for _, hit := range p.not.FindAllString(text, -1) {
			found = append(found, fmt.Sprintf("%q: %s", hit, p.but))
		}
	}
	return found
}

// prose is the comments and string literals of a folder.
type prose struct {
	commentLines int
	comments     []string // phrases in comments, as file:line: phrase
	strings      []string // phrases in string literals outside tests
}

// readProse reads all Go files below root that were written by hand, by folder relative to root.
func readProse(root string) (map[string]*prose, error) {
	out := map[string]*prose{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && skipped(path, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if out[folder] == nil {
			out[folder] = &prose{}
		}
		return out[folder].read(path)
	})
	return out, err
}

func (p *prose) read(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || ast.IsGenerated(file) {
		return err
	}
	at := func(n ast.Node, phrase string) string {
		position := set.Position(n.Pos())
		return fmt.Sprintf("%s:%d: %s", filepath.ToSlash(path), position.Line, phrase)
	}
	for _, group := range file.Comments {
		p.commentLines += set.Position(group.End()).Line - set.Position(group.Pos()).Line + 1
		for _, one := range find(group.Text()) {
			p.comments = append(p.comments, at(group, one))
		}
	}
	if strings.HasSuffix(path, "_test.go") {
		return nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			return true
		}
		for _, one := range find(text) {
			p.strings = append(p.strings, at(literal, one))
		}
		return true
	})
	return nil
}
