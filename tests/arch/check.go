package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Check compares a graph with the rules and returns one line for each violation, sorted, with the package and what
// it did.
func Check(graph Graph, rules Rules) []string {
	c := &checker{graph: graph, rules: rules}
	for _, path := range graph.own() {
		c.imports(graph[path])
		c.libraries(graph[path])
		c.helpers(graph[path])
		c.size(graph[path])
		c.exits(graph[path])
		c.bools(graph[path])
		c.standard(graph[path])
	}
	c.unused()
	c.binaries()
	c.depth()
	slices.Sort(c.found)
	return c.found
}

type checker struct {
	graph Graph
	rules Rules
	found []string
}

func (c *checker) report(path, format string, args ...any) {
	c.found = append(c.found, path+": "+fmt.Sprintf(format, args...))
}

// imports reports imports that the table does not allow, and packages that the table does not contain.
func (c *checker) imports(p *Package) {
	var rows []Row
	for _, row := range c.rules.Imports {
		if matches(row.Package, p.Path) {
			rows = append(rows, row)
		}
	}
	if len(rows) != 1 {
		c.report(p.Path, "named by %d rows of the import table, want 1", len(rows))
		return
	}
	may := rows[0].May
	if matches(c.rules.Below, p.Path) {
		may = append(slices.Clip(may), c.rules.Everywhere...)
	}
	for _, path := range p.Imports {
		if c.owns(path) && !matchesAny(may, path) {
			c.report(p.Path, "may not import %s", path)
		}
	}
}

// unused reports rows of the tables that match no package, and allowed imports that none of a row's packages has.
func (c *checker) unused() {
	for _, limit := range c.rules.Smaller {
		if !c.owns(limit.Package) {
			c.report(limit.Package, "has a limit of lines, but no package")
		}
	}
	for _, row := range c.rules.Imports {
		var imported []string
		found := false
		for path, p := range c.graph {
			if p.Own && matches(row.Package, path) {
				found = true
				imported = append(imported, p.Imports...)
				if matchesAny(c.rules.TestRoots, path) {
					imported = append(imported, p.TestImports...)
				}
			}
		}
		if !found {
			c.report(row.Package, "has a row in the import table, but no package")
			continue
		}
		for _, may := range row.May {
			if !slices.ContainsFunc(imported, func(path string) bool { return matches(may, path) }) {
				c.report(row.Package, "is allowed to import %s, but does not", may)
			}
		}
	}
}

// libraries reports imports of outside libraries where they do not belong.
func (c *checker) libraries(p *Package) {
	all := slices.Concat(p.Imports, p.TestImports)
	slices.Sort(all)
	for _, path := range slices.Compact(all) {
		for _, library := range c.rules.Libraries {
			if within(library.Name, path) && !matchesAny(library.Places, p.Path) {
				c.report(p.Path, "may not use %s", path)
			}
		}
	}
}

// helpers reports imports of test helpers outside tests.
func (c *checker) helpers(p *Package) {
	if c.rules.TestOnly(p.Path) || matchesAny(c.rules.TestRoots, p.Path) {
		return
	}
	for _, path := range p.Imports {
		if c.owns(path) && (c.rules.TestOnly(path) || matchesAny(c.rules.TestRoots, path)) {
			c.report(p.Path, "may import %s in tests only", path)
		}
	}
}

// size reports packages that are too large. Conformance suites and fakes are not counted.
func (c *checker) size(p *Package) {
	if c.rules.TestOnly(p.Path) {
		return
	}
	limit := c.rules.MaxLines
	for _, smaller := range c.rules.Smaller {
		if smaller.Package == p.Path {
			limit = smaller.Lines
		}
	}
	if p.Main && strings.HasPrefix(p.Path, "cmd/") {
		limit = c.rules.MaxMainLines
	}
	if p.Lines > limit {
		c.report(p.Path, "%d lines, more than %d", p.Lines, limit)
	}
}

func (c *checker) exits(p *Package) {
	if p.Main || c.rules.TestOnly(p.Path) || matchesAny(c.rules.MayExit, p.Path) {
		return
	}
	for _, place := range p.Exits {
		c.report(p.Path, "ends the process at %s", place)
	}
}

// bools reports boolean parameters, test helpers excepted.
func (c *checker) bools(p *Package) {
	if c.rules.TestOnly(p.Path) {
		return
	}
	for _, place := range p.Bools {
		c.report(p.Path, "has a boolean parameter at %s: use two functions, or a type with names", place)
	}
}

func (c *checker) standard(p *Package) {
	if !slices.Contains(c.rules.StandardOnly, p.Path) {
		return
	}
	for _, path := range p.Imports {
		if imported, ok := c.graph[path]; (!ok || !imported.Standard) && !slices.Contains(c.rules.StandardOnly, path) {
			c.report(p.Path, "imports %s, which is not in the standard library", path)
		}
	}
}

// binaries reports packages that a main package must not link, with the import path that led to
// them.
func (c *checker) binaries() {
	for _, binary := range c.rules.Binaries {
		if c.graph[binary.Package] == nil {
			continue
		}
		ways := c.linked(binary.Package)
		for _, path := range sortedKeys(ways) {
			for _, not := range binary.Not {
				if matches(not, path) || !c.owns(path) && within(not, path) {
					c.report(binary.Package, "links %s, by way of %s", path, strings.Join(way(ways, path), " -> "))
				}
			}
		}
	}
}

// linked returns everything that a package imports, directly or not, each with the package that it was first found
// in.
func (c *checker) linked(from string) map[string]string {
	by := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		p := c.graph[queue[0]]
		if p == nil {
			continue
		}
		for _, path := range p.Imports {
			if _, seen := by[path]; !seen {
				by[path] = p.Path
				queue = append(queue, path)
			}
		}
	}
	return by
}

func way(by map[string]string, to string) []string {
	var steps []string
	for at := to; at != ""; at = by[at] {
		steps = append(steps, at)
	}
	slices.Reverse(steps)
	return steps
}

// depth reports import chains that are too long: a layer may have been added by accident.
func (c *checker) depth() {
	longest := map[string][]string{}
	var chain func(path string) []string
	chain = func(path string) []string {
		if known, ok := longest[path]; ok {
			return known
		}
		longest[path] = nil // the go command refuses cycles; a graph made by a test may have one
		var best []string
		for _, next := range c.graph[path].Imports {
			if c.owns(next) {
				if below := chain(next); len(below) > len(best) {
					best = below
				}
			}
		}
		longest[path] = append([]string{path}, best...)
		return longest[path]
	}
	var worst []string
	for _, path := range c.graph.own() {
		if steps := chain(path); len(steps) > len(worst) {
			worst = steps
		}
	}
	if steps := len(worst) - 1; steps > c.rules.MaxSteps {
		c.report(worst[0], "imports %d steps deep, more than %d: %s", steps, c.rules.MaxSteps, strings.Join(worst, " -> "))
	}
}

// own lists the module's packages by name.
func (g Graph) own() []string {
	var paths []string
	for path, p := range g {
		if p.Own {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func (c *checker) owns(path string) bool {
	p, ok := c.graph[path]
	return ok && p.Own
}

// matches reports whether a path is the pattern, or below it if it ends in /...
func matches(pattern, path string) bool {
	if prefix, deep := strings.CutSuffix(pattern, "/..."); deep {
		return within(prefix, path)
	}
	return pattern == path
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, path) })
}

// within reports whether a path is the prefix or below it.
func within(prefix, path string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
