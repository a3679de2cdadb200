package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
)

// schemaID is the $id of docs/schema/s3ctl.json.
const schemaID = "urn:ringstore:s3ctl"

// strict is docs/schema/s3ctl.json without unknown properties: readers must accept fields that they do not know, tests
// must not.
type strict struct {
	document    map[string]any
	definitions map[string]any
	schemas     map[string]*jsonschema.Schema // by the name of the definition
}

var readSchema = sync.OnceValues(func() (s strict, err error) {
	data, err := os.ReadFile(filepath.Join("..", "docs", "schema", "s3ctl.json"))
	if err != nil {
		return s, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return s, err
	}
	s = strict{document: value.(map[string]any), schemas: map[string]*jsonschema.Schema{}}
	s.definitions = s.document["$defs"].(map[string]any)
	forbidOthers(value)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaID, value); err != nil {
		return s, err
	}
	for name := range s.definitions {
		if s.schemas[name], err = compiler.Compile(schemaID + "#/$defs/" + name); err != nil {
			return s, err
		}
	}
	return s, nil
})

func lineSchema(t *testing.T) strict {
	t.Helper()
	s, err := readSchema()
	require.NoError(t, err)
	require.Equal(t, schemaID, s.document["$id"])
	return s
}

// forbidOthers disallows properties that an object's schema does not name.
func forbidOthers(value any) {
	switch v := value.(type) {
	case map[string]any:
		if _, open := v["additionalProperties"]; v["type"] == "object" && !open {
			v["additionalProperties"] = false
		}
		for _, below := range v {
			forbidOthers(below)
		}
	case []any:
		for _, below := range v {
			forbidOthers(below)
		}
	}
}

// tree is the command tree; nothing is run.
func tree(t *testing.T) *cobra.Command {
	t.Helper()
	f, closeAll := cli.NewFactory(&term.Streams{}, os.Getenv, cli.Build{})
	t.Cleanup(closeAll)
	return newRoot(f)
}

// runnable returns the runnable commands by name, with hyphens for spaces.
func runnable(root *cobra.Command) map[string]*cobra.Command {
	found := map[string]*cobra.Command{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, below := range cmd.Commands() {
			if below.Name() != "help" && !below.Hidden {
				walk(below)
			}
		}
		if cmd.HasParent() && cmd.Runnable() && !cmd.HasSubCommands() {
			found[definitionOf(cmd)] = cmd
		}
	}
	walk(root)
	return found
}

// definitionOf is the name of a command's definition in the schema.
func definitionOf(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "version" // the root's only output
	}
	return strings.ReplaceAll(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" "), " ", "-")
}

// requireSchema validates the JSON of a run.
func requireSchema(t *testing.T, args []string, o outcome) {
	t.Helper()
	cmd, _, err := tree(t).Find(args)
	require.NoError(t, err)
	for line := range strings.Lines(o.out) {
		require.NoError(t, lineSchema(t).check(definitionOf(cmd), line))
	}
	for line := range strings.Lines(o.err) {
		definition := "error"
		if strings.HasPrefix(line, `{"type":"progress"`) {
			definition = "progress"
		}
		require.NoError(t, lineSchema(t).check(definition, line))
	}
}

func (s strict) check(definition, line string) error {
	schema := s.schemas[definition]
	if schema == nil {
		return fmt.Errorf("docs/schema/s3ctl.json does not describe the lines of %q", definition)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", definition, line, err)
	}
	return nil
}

// Each command has a definition, and each definition is used by a command or referenced by another definition.
func TestSchema_HasTheCommandsThatThereAre(t *testing.T) {
	t.Parallel()
	s := lineSchema(t)
	commands := runnable(tree(t))
	require.Greater(t, len(commands), 20)
	for name := range commands {
		require.Contains(t, s.definitions, name, "s3ctl %s has no definition in docs/schema/s3ctl.json", name)
	}
	text, err := json.Marshal(s.document)
	require.NoError(t, err)
	for name := range s.definitions {
		used := commands[name] != nil || name == "error" || name == "progress" || bytes.Contains(text, []byte(`"#/$defs/`+name+`"`))
		require.True(t, used, "definition %q has no use", name)
	}
}

// Each command that writes lines has golden ones, and each field appears in one of them.
func TestSchema_HasGoldenLinesOfEveryCommand(t *testing.T) {
	t.Parallel()
	s := lineSchema(t)
	lines := goldenLines(t)
	for name := range runnable(tree(t)) {
		if s.definitions[name] == false {
			require.Empty(t, lines[name], "s3ctl %s is not to write lines", name)
			continue
		}
		require.NotEmpty(t, lines[name], "s3ctl %s has no line in testdata/json: add a case to TestGolden", name)
		all := strings.Join(lines[name], "")
		for _, field := range fieldsOf(s.definitions[name]) {
			seen := strings.Contains(all, `"`+field+`":`)
			require.Equal(t, !slices.Contains(unseen, name+"."+field), seen, "field %q of s3ctl %s in testdata/json", field, name)
		}
	}
}

// unseen are fields that no golden line has. The in-memory server has neither SHA-256 nor failed uploads; sessions are
// aborted with --dry-run in session-except.golden; metadata of files: see below.
var unseen = []string{
	"find.sha256", "ls.sha256", "session-abort.dry_run", "stat.failure", "stat.meta", "stat.sha256", "tree.sha256",
}

func TestSchema_OfStoredMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a.txt", "hello")
	r.ok("put", "DIR/a.txt", "s3://default")
	o := r.run("stat", "--json", "s3://default/a.txt")
	requireSchema(t, []string{"stat"}, o)
	require.Contains(t, o.out, `"meta":{"mtime":"`)
}

// goldenLines are the result lines in testdata/json, by the name of the command's definition.
func goldenLines(t *testing.T) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "json", "*.golden"))
	require.NoError(t, err)
	lines := map[string][]string{}
	commands := runnable(tree(t))
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".golden")
		for name != "" && commands[name] == nil { // what follows the command's name is the name of the case
			name = name[:max(strings.LastIndexByte(name, '-'), 0)]
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		results, _, _ := strings.Cut(strings.TrimPrefix(string(data), "-- stdout --\n"), "-- stderr --\n")
		lines[name] = slices.AppendSeq(lines[name], strings.Lines(results))
	}
	return lines
}

// fieldsOf are the names of all properties in a definition.
func fieldsOf(value any) (fields []string) {
	switch v := value.(type) {
	case map[string]any:
		if properties, ok := v["properties"].(map[string]any); ok {
			fields = slices.AppendSeq(fields, maps.Keys(properties))
		}
		for _, below := range v {
			fields = append(fields, fieldsOf(below)...)
		}
	case []any:
		for _, below := range v {
			fields = append(fields, fieldsOf(below)...)
		}
	}
	return fields
}

// The error kinds that the schema gives as examples are those of the table.
func TestSchema_KnowsTheCodes(t *testing.T) {
	t.Parallel()
	var codes []any
	for _, row := range fault.Table()[1:] {
		for _, kind := range row.Kinds {
			codes = append(codes, kind.String())
		}
	}
	require.ElementsMatch(t, codes, lineSchema(t).definitions["code"].(map[string]any)["examples"])
}

// The schema rejects wrong lines; a test that accepts everything would prove nothing.
func TestSchema_FindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := lineSchema(t)
	require.NoError(t, s.check("bucket-rm", `{"address":"s3://b12","bucket":"b12"}`))
	for definition, line := range map[string]string{
		"bucket-rm": `{"address":"s3://b1"}`,
		"bucket-ls": `{"address":"s3://b12","bucket":"b12","survive":null,"created_at":"2026-01-02T03:04:05Z","more":1}`,
		"man":       `{"path":1}`,
		"cat":       `{}`,
		"sync":      `{"summary":{"changed":1,"removed":0,"unchanged":0,"failed":0,"bytes":-1}}`,
		"error":     `{"error":{"command":"x","code":"usage","exit_code":0,"cause":"y"}}`,
		"nothing":   `{}`,
	} {
		require.Error(t, s.check(definition, line), line)
	}
}
