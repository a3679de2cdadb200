package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Graph is a module and everything that it imports, by import path. Packages of the module are named by their path
// relative to it, "." being the root.
type Graph map[string]*Package

// Package has the properties of a package that the rules refer to.
type Package struct {
	Path        string
	Main        bool     // package main
	Own         bool     // of this module
	Standard    bool     // of the standard library
	Imports     []string // outside tests
	TestImports []string // of its tests, both kinds
	Lines       int      // outside tests and generated files
	Exits       []string // places that end the process, as file:line: call
	Bools       []string // exported functions and methods of interfaces with a boolean parameter, as file:line: name
}

// Load reads the module whose root folder is root.
//
// The test cache does not see the files that the go command reads, so every Go file of the module is opened here, too:
// a cached result can then never be older than the code that it was computed from.
func Load(root string) (Graph, error) {
	if err := touch(root); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "list", "-e", "-deps",
		"-json=ImportPath,Dir,Name,Standard,Module,Imports,TestImports,XTestImports,GoFiles,Error", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	return decode(out)
}

// listed is the part of the go command's answer that is used.
type listed struct {
	ImportPath, Dir, Name string
	Standard              bool
	Module                *struct {
		Path string
		Main bool
	}
	Imports, TestImports, XTestImports []string
	GoFiles                            []string
	Error                              *struct{ Err string }
}

func decode(out []byte) (Graph, error) {
	var packages []listed
	module := ""
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module != nil && p.Module.Main {
			module = p.Module.Path
			if p.Error != nil {
				return nil, fmt.Errorf("%s does not load: %s", p.ImportPath, p.Error.Err)
			}
		}
		packages = append(packages, p)
	}
	if module == "" {
		return nil, errors.New("go list: no package of the module")
	}

	graph := Graph{}
	for _, p := range packages {
		own := p.Module != nil && p.Module.Main
		pkg := &Package{
			Path:        relative(module, p.ImportPath),
			Main:        p.Name == "main",
			Own:         own,
			Standard:    p.Standard,
			Imports:     relatives(module, p.Imports),
			TestImports: relatives(module, append(p.TestImports, p.XTestImports...)),
		}
		if own {
			if err := pkg.read(p.Dir, p.GoFiles); err != nil {
				return nil, err
			}
		}
		graph[pkg.Path] = pkg
	}
	return graph, nil
}

func relative(module, path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func relatives(module string, paths []string) []string {
	out := make([]string, len(paths))
	for i, path := range paths {
		out[i] = relative(module, path)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// read counts the lines of the package's files and finds the calls that end the process and boolean parameters. Generated
// files are skipped.
func (p *Package) read(dir string, files []string) error {
	for _, name := range files {
		source, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if ast.IsGenerated(file) {
			continue
		}
		p.Lines += bytes.Count(source, []byte("\n"))
		p.Exits = append(p.Exits, exits(set, file)...)
		p.Bools = append(p.Bools, bools(set, file)...)
	}
	return nil
}

// exits finds os.Exit, syscall.Exit and log.Fatal*, under any name by which the file imports those packages.
func exits(set *token.FileSet, file *ast.File) []string {
	names := map[string]string{} // as imported -> path
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = path
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		ident, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		path, name := names[ident.Name], selector.Sel.Name
		if (path == "os" || path == "syscall") && name == "Exit" || path == "log" && strings.HasPrefix(name, "Fatal") {
			found = append(found, fmt.Sprintf("%s: %s.%s", set.Position(selector.Pos()), path, name))
		}
		return true
	})
	return found
}

// bools finds exported functions and methods, and methods of interfaces, with a boolean parameter.
func bools(set *token.FileSet, file *ast.File) (found []string) {
	check := func(name *ast.Ident, t ast.Expr) {
		if f, ok := t.(*ast.FuncType); ok && name.IsExported() && slices.ContainsFunc(f.Params.List, isBool) {
			found = append(found, fmt.Sprintf("%s: %s", set.Position(name.Pos()), name.Name))
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			check(n.Name, n.Type)
		case *ast.InterfaceType:
			for _, method := range n.Methods.List {
				for _, name := range method.Names {
					check(name, method.Type)
				}
			}
		}
		return true
	})
	return found
}

func isBool(parameter *ast.Field) bool {
	t := parameter.Type
	if variadic, ok := t.(*ast.Ellipsis); ok {
		t = variadic.Elt
	}
	name, ok := t.(*ast.Ident)
	return ok && name.Name == "bool"
}

// touch opens every folder and Go file of the module.
func touch(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && skipped(path, entry.Name()):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".go"):
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			return file.Close()
		}
		return nil
	})
}

// skipped reports folders that the go command ignores, too, or that contain no source.
func skipped(path, name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" {
		return true
	}
	if name == "bin" || name == "build" || name == "data" {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}
