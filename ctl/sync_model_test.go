package ctl

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/ctl/address"
)

// world is a local folder, a prefix, and a folder that links lead to, as generated and as found after a run.
type world struct {
	*rig
	excluded string // pattern of a name at any depth; "": none
}

// scene is everything that sync can read or change, by names relative to DIR or to the bucket.
type scene struct {
	local  map[string]string // files by content, links as "-> target", others by their mode
	remote map[string]string
}

func (w *world) scene() scene {
	w.t.Helper()
	s := scene{local: map[string]string{}, remote: map[string]string{}}
	require.NoError(w.t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(w.dir, path)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			s.local[rel] = "-> " + to
			return err
		case !d.Type().IsRegular():
			s.local[rel] = d.Type().String()
			return nil
		}
		data, err := os.ReadFile(path)
		s.local[rel] = string(data)
		return err
	}))
	for _, name := range w.Names("default") {
		s.remote[name], _ = w.Data("default", name)
	}
	return s
}

// kinds of local entries; files are the most frequent.
var kinds = []string{
	"file", "file", "file", "file", "file", "empty folder", "link to a folder", "link to a file", "link to nothing",
	"pipe", "part of ours", "part of the user's", "not UTF-8",
}

// draw generates two sides from one small set of names, so that they often conflict.
func (w *world) draw(rt *rapid.T) {
	element := rapid.SampledFrom([]string{"a", "b", "a-b", "a.x", "c"})
	name := rapid.Custom(func(rt *rapid.T) string {
		return strings.Join(rapid.SliceOfN(element, 1, 3).Draw(rt, "elements"), "/")
	})
	content := rapid.SampledFrom([]string{"", "x", "y", "xx", "zzz"})
	w.write("outside/keep", "outside")
	w.write("outside/a", "outside a")
	require.NoError(w.t, os.MkdirAll(filepath.Join(w.dir, "side"), 0o700))
	for range rapid.IntRange(0, 7).Draw(rt, "local names") {
		w.drawLocal(name.Draw(rt, "local"), rapid.SampledFrom(kinds).Draw(rt, "kind"), content.Draw(rt, "content"))
	}
	for range rapid.IntRange(0, 7).Draw(rt, "keys") {
		key := name.Draw(rt, "key")
		if rapid.IntRange(0, 9).Draw(rt, "odd") == 0 {
			key = rapid.SampledFrom([]string{"../" + key, key + "//x", "./" + key, key + "/", strings.Repeat("n", 300), key + "/" + strings.Repeat("n", 300)}).Draw(rt, "odd key")
		}
		w.Add("default", "p/"+key, content.Draw(rt, "stored"))
	}
	w.Add("default", "pa", "beside")
	w.excluded = rapid.SampledFrom([]string{"", "", "c", "a.x"}).Draw(rt, "excluded")
}

// drawLocal creates an entry, unless another is in its way.
func (w *world) drawLocal(name, kind, content string) {
	path := filepath.Join(w.dir, "side", name)
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err != nil || !strings.HasPrefix(real, filepath.Join(w.dir, "side")) {
		return // the path would lead through a link
	}
	if _, err := os.Lstat(path); err == nil {
		return
	}
	outside := filepath.Join(w.dir, "outside")
	var err error
	switch kind {
	case "file":
		err = os.WriteFile(path, []byte(content), 0o600)
	case "empty folder":
		err = os.MkdirAll(filepath.Join(path, "deeper"), 0o700)
	case "link to a folder":
		err = os.Symlink(outside, path)
	case "link to a file":
		err = os.Symlink(filepath.Join(outside, "keep"), path)
	case "link to nothing":
		err = os.Symlink("nowhere", path)
	case "pipe":
		err = syscall.Mkfifo(path, 0o600)
	case "part of ours", "part of the user's":
		part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
		head := "notes of mine\n"
		if kind == "part of ours" {
			head = `{"format":"s3ctl download","version":1}` + "\n"
		}
		err = os.WriteFile(part, []byte(content), 0o600)
		if err == nil {
			err = os.WriteFile(part+".log", []byte(head), 0o600)
		}
	case "not UTF-8":
		err = os.WriteFile(path+"\xff", []byte(content), 0o600)
	}
	require.NoError(w.t, err)
}

// told is the reported actions of a run, without facts that only a real run knows, and how it ended.
type told struct {
	lines   []string
	summary string
	code    int
}

func (w *world) tell(args ...string) told {
	w.t.Helper()
	o := w.run(args...)
	t := told{code: o.code}
	for line := range strings.Lines(o.out) {
		var fields map[string]any
		require.NoError(w.t, json.Unmarshal([]byte(line), &fields))
		for _, only := range []string{"file_id", "crc64nvme", "dry_run"} {
			delete(fields, only)
		}
		text, err := json.Marshal(fields)
		require.NoError(w.t, err)
		if fields["summary"] != nil {
			t.summary = string(text)
			continue
		}
		t.lines = append(t.lines, string(text))
	}
	slices.Sort(t.lines)
	return t
}

// seen is the naive model of what a side was seen to have under a name: "file", "absent" or "unknown". It checks every parent folder.
func (w *world) seen(s scene, local bool, name string) string {
	if w.excluded != "" && slices.Contains(strings.Split(name, "/"), w.excluded) {
		return "unknown"
	}
	if !local {
		if _, there := s.remote["p/"+name]; there {
			return "file"
		}
		return "absent"
	}
	if _, err := address.Localize(name); err != nil || slices.ContainsFunc(strings.Split(name, "/"), func(e string) bool { return len(e) > 255 }) {
		return "unknown"
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		at := "side/" + strings.Join(parts[:i+1], "/")
		was, there := s.local[at]
		part := strings.TrimSuffix(at, ".log")
		switch {
		case !there:
		case strings.HasSuffix(was, "/keep") && i == len(parts)-1:
			return "link"
		case strings.HasSuffix(was, "/keep"):
			return "absent" // nothing can be below a link to a file
		case strings.HasPrefix(was, "-> "), was == fs.ModeNamedPipe.String():
			return "unknown"
		case strings.HasSuffix(part, ".part") && strings.Contains(s.local[part+".log"], "s3ctl download"):
			return "unknown"
		case i == len(parts)-1:
			return "file"
		default:
			return "absent" // a file is where a folder would be
		}
	}
	return "absent"
}

// For any content of both sides: sync removes nothing unless the source was seen to lack it and changes nothing behind a link;
// --dry-run reports the same lines and exit code; and a second run finds nothing to do.
func TestSync_AgreesWithAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{rig: newRig(t)}
		w.draw(rt)
		args := []string{"sync", "--json", "-j", "3", "DIR/side", "s3://default/p"}
		up := rapid.Bool().Draw(rt, "up")
		if !up {
			args[4], args[5] = args[5], args[4]
		}
		del := rapid.IntRange(0, 3).Draw(rt, "delete") > 0
		if del {
			args = append(args, "--delete", "--yes")
		}
		if w.excluded != "" {
			args = append(args, "--exclude", w.excluded)
		}
		if rapid.Bool().Draw(rt, "checksum") {
			args = append(args, "--checksum")
		}
		before := w.scene()
		dry := w.tell(append(slices.Clone(args), "--dry-run")...)
		require.Equal(rt, before, w.scene(), "a dry run changes nothing")
		real := w.tell(args...)
		after := w.scene()
		require.Equal(rt, real, dry, "the dry run announces the run: %q", args)

		w.requireKept(rt, before, after, up)
		if real.code == 0 {
			w.requireSame(rt, before, after, up, del)
		}
		again := w.tell(args...)
		require.Empty(rt, again.lines, "the second run of %q has nothing to do", args)
		require.Equal(rt, real.code == 0, again.code == 0, "%q: %s", args, again.summary)
		require.Equal(rt, after, w.scene())
	})
}

// requireKept: sync changed nothing outside the target, and removed from the target only what the source was seen to lack.
func (w *world) requireKept(rt *rapid.T, before, after scene, up bool) {
	for name, was := range before.local {
		now, there := after.local[name]
		inSide, ours := strings.CutPrefix(name, "side/")
		switch {
		case up || !ours || strings.HasPrefix(was, "-> ") || was == fs.ModeNamedPipe.String():
			require.Equal(rt, was, now, "%s must stay as it is", name)
		case !there:
			require.Equal(rt, "file", w.seen(before, true, inSide), "%s was not a plain file, and was removed", name)
			require.Equal(rt, "absent", w.seen(before, false, inSide), "%s was removed", name)
		case was != now:
			require.Equal(rt, "file", w.seen(before, true, inSide), "%s was not a plain file, and was replaced", name)
			require.Equal(rt, before.remote["p/"+inSide], now)
		}
	}
	for key, was := range before.remote {
		now, there := after.remote[key]
		rel, ours := strings.CutPrefix(key, "p/")
		switch {
		case !up || !ours:
			require.Equal(rt, was, now, "%s must stay as it is", key)
		case !there:
			require.Equal(rt, "absent", w.seen(before, true, rel), "%s was removed", key)
		case was != now:
			require.Contains(rt, []string{"file", "link"}, w.seen(before, true, rel))
		}
	}
}

// requireSame: after a run without an error the target has the source's files, and with --delete nothing else except unknown names.
func (w *world) requireSame(rt *rapid.T, before, after scene, up, del bool) {
	names := map[string]bool{}
	for name := range maps.Keys(before.local) {
		if rel, ours := strings.CutPrefix(name, "side/"); ours {
			names[rel] = true
		}
	}
	for key := range maps.Keys(before.remote) {
		if rel, ours := strings.CutPrefix(key, "p/"); ours && !strings.HasSuffix(rel, "/") {
			names[rel] = true
		}
	}
	for name := range names {
		source, target := w.seen(before, up, name), w.seen(after, !up, name)
		switch source {
		case "file":
			require.Contains(rt, []string{"file", "link"}, target, "%s was not brought over", name)
		case "absent":
			require.True(rt, !del || target != "file" || !localName(name), "%s is only in the target", name)
		}
	}
}

// localName reports whether the other side could have the name, too.
func localName(name string) bool {
	_, err := address.Localize(name)
	return err == nil && address.CheckKey("p/"+name) == nil && !strings.Contains(name, strings.Repeat("n", 300))
}

// The model detects each kind of entry; otherwise the test above could not fail.
func TestSync_TheModelSees(t *testing.T) {
	t.Parallel()
	w := &world{rig: newRig(t), excluded: "c"}
	for name, kind := range map[string]string{
		"f": "file", "l": "link to a folder", "k": "link to a file", "p": "pipe", "d/o": "part of ours", "d/u": "part of the user's",
	} {
		w.write("side/d/x", "x")
		w.drawLocal(name, kind, "x")
	}
	w.Add("default", "p/r", "x")
	s := w.scene()
	for name, want := range map[string]string{
		"f": "file", "f/x": "absent", "l": "unknown", "l/x": "unknown", "k": "link", "p": "unknown", "d/.o.part": "unknown", "d/.o.part.log": "unknown",
		"d/.u.part": "file", "d": "absent", "c/x": "unknown", "nothing": "absent", "../x": "unknown", "a//b": "unknown",
	} {
		require.Equal(t, want, w.seen(s, true, name), name)
	}
	require.Equal(t, []string{"file", "absent"}, []string{w.seen(s, false, "r"), w.seen(s, false, "f")}, fmt.Sprint(s.remote))
}
