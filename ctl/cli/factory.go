// Package cli provides every command of s3ctl with its streams, the client of the chosen profile, and the output of
// results and errors.
package cli

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
)

// Global are the flags of all commands.
type Global struct {
	Profile  string
	JSON     bool
	Quiet    bool
	Verbose  bool
	Progress term.ProgressStyle
	Wait     time.Duration // for a server that was not reached yet
}

// Build is the build information; it is the --json line of version.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built with uncommitted changes
	Go       string `json:"go,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// Factory creates what commands need, on demand: nothing is read from disk and no connection is opened before a
// command asks for it.
type Factory struct {
	IO       *term.Streams
	Global   *Global
	Build    Build
	Getenv   func(string) string
	Profiles func() (profile.File, error)
	Client   func() (*client.Client, error)
	Retry    func() retry.Policy   // of all operations; they share the time of the last success
	Progress func() *term.Progress // the display of the run

	Inspect func(options any) error // receives the options of a command instead of running it, for tests; nil: run it
}

// NewFactory returns the factory of the program. closeAll closes its connections.
func NewFactory(streams *term.Streams, getenv func(string) string, build Build) (f *Factory, closeAll func()) {
	f = &Factory{IO: streams, Global: &Global{Progress: term.ProgressAuto, Wait: retry.DefaultWait}, Build: build, Getenv: getenv, Profiles: profile.UserFile}
	var progress *term.Progress
	f.Progress = sync.OnceValue(func() *term.Progress {
		progress = f.IO.ProgressAs(f.style())
		return progress
	})
	f.Retry = sync.OnceValue(func() retry.Policy {
		policy := retry.After(f.Global.Wait)
		policy.Notify = f.Retrying
		return policy
	})
	var made *client.Client
	f.Client = sync.OnceValues(func() (*client.Client, error) {
		p, err := f.choose()
		if err == nil {
			made = client.New(client.Config{Profile: p, Agent: "s3ctl/" + build.Version, Retry: f.Retry()})
		}
		return made, err
	})
	return f, func() {
		if progress != nil {
			progress.Close()
		}
		if made != nil {
			made.Close()
		}
	}
}

// choose returns the profile to use. If the environment has all fields, no profile file is needed, nor a home folder.
func (f *Factory) choose() (profile.Profile, error) {
	var set profile.Set
	if !profile.Complete(f.Global.Profile, f.Getenv) {
		file, err := f.Profiles()
		if err != nil {
			return profile.Profile{}, FromProfile(err)
		}
		if set, err = file.Load(); err != nil {
			return profile.Profile{}, fault.Wrap("", err)
		}
	}
	p, _, err := set.Choose(f.Global.Profile, f.Getenv)
	return p, FromProfile(err)
}

// FromProfile classifies an error of package profile.
func FromProfile(err error) error {
	if err == nil {
		return nil
	}
	kind := problem.Invalid
	if _, missing := err.(*profile.MissingError); missing { //nolint:errorlint // it is returned unwrapped
		kind = problem.NotFound
	}
	return &fault.Error{Kind: kind, Err: err, Hint: cmp.Or(fault.HintOf(err), "s3ctl help profiles    explains what a profile needs")}
}

// style returns the style of the progress display. Without --progress, --quiet and --json disable it.
func (f *Factory) style() term.ProgressStyle {
	if f.Global.Progress == term.ProgressAuto && (f.Global.Quiet || f.Global.JSON) {
		return term.ProgressNone
	}
	return f.Global.Progress
}

// Retrying shows that an operation failed and is tried again, or that it succeeded after that: one line for all operations
// together, since they fail together when the server is away. With --verbose each failure has its line.
func (f *Factory) Retrying(e retry.Event) {
	if e.Err == nil {
		f.Progress().Working()
		return
	}
	f.Progress().Failing(outageOf(e.Err), e.Limit)
	if f.Global.Verbose {
		f.Progress().Above(func() { f.Note("%v; trying again in %s", e.Err, e.Pause.Round(100*time.Millisecond)) })
	}
}

// outageOf describes a temporary failure in a few words.
func outageOf(err error) string {
	e, ok := errors.AsType[*fault.Error](err)
	switch {
	case ok && e.Away && e.Err != nil:
		return "server away (" + e.Err.Error() + ")"
	case ok && e.Msg != "":
		return e.Msg
	}
	return err.Error()
}
