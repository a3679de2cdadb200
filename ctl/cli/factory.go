// Package cli is what every command of s3ctl is given: streams, the client of the
// chosen profile, and one way to show results and errors.
package cli

import (
	"cmp"
	"sync"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/profile"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
)

// Global are the flags that all commands share.
type Global struct {
	Profile  string
	JSON     bool
	Quiet    bool
	Progress term.ProgressStyle
}

// Build is what a build knows of itself: the line of --json for version.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a commit and changes to it
	Go       string `json:"go,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// Factory gives commands what they need, when they need it: nothing is read
// from disk or dialed before a command asks.
type Factory struct {
	IO       *term.Streams
	Global   *Global
	Build    Build
	Getenv   func(string) string
	Profiles func() (profile.File, error)
	Client   func() (*client.Client, error)
	Retry    func() transfer.Retry
}

// NewFactory wires the real thing. close frees the connections at the end.
func NewFactory(streams *term.Streams, getenv func(string) string, build Build) (f *Factory, closeAll func()) {
	f = &Factory{IO: streams, Global: &Global{Progress: term.ProgressAuto}, Build: build, Getenv: getenv, Retry: transfer.DefaultRetry}
	f.Profiles = func() (profile.File, error) {
		path, err := profile.Path()
		return profile.File(path), err
	}
	var made *client.Client
	f.Client = sync.OnceValues(func() (*client.Client, error) {
		p, err := f.choose()
		if err == nil {
			made = client.New(client.Config{Profile: p, Agent: "s3ctl/" + build.Version})
		}
		return made, err
	})
	return f, func() {
		if made != nil {
			made.Close()
		}
	}
}

// choose finds the profile. Where the environment says all, no file is needed, nor a place for one.
func (f *Factory) choose() (profile.Profile, error) {
	if profile.Complete(f.Global.Profile, f.Getenv) {
		p, _, err := profile.Set{}.Choose("", f.Getenv)
		return p, FromProfile(err)
	}
	file, err := f.Profiles()
	if err != nil {
		return profile.Profile{}, FromProfile(err)
	}
	set, err := file.Load()
	if err != nil {
		return profile.Profile{}, fault.Wrap("", err)
	}
	p, _, err := set.Choose(f.Global.Profile, f.Getenv)
	return p, FromProfile(err)
}

// FromProfile classifies an error of package profile.
func FromProfile(err error) error {
	if err == nil {
		return nil
	}
	kind := "invalid"
	if _, missing := err.(*profile.MissingError); missing { //nolint:errorlint // is returned as it is
		kind = "not_found"
	}
	return &fault.Error{Kind: kind, Err: err, Hint: cmp.Or(fault.HintOf(err), "s3ctl help profiles    says what a profile needs")}
}

// Progress is that of a command that moves bytes, in the style that was asked for. Where none was,
// --quiet and --json mean that there is none: what a program reads has to be asked for.
func (f *Factory) Progress() term.Progress {
	style := f.Global.Progress
	if style == term.ProgressAuto && (f.Global.Quiet || f.Global.JSON) {
		style = term.ProgressNone
	}
	return f.IO.ProgressAs(style)
}

// Mover moves files with the client of the profile, and tells progress.
func (f *Factory) Mover(progress term.Progress, retry transfer.Retry) (*transfer.Mover, *client.Client, error) {
	c, err := f.Client()
	if err != nil {
		return nil, nil, err
	}
	return &transfer.Mover{Store: c, Meter: progress, Retry: retry}, c, nil
}
