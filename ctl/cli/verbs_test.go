package cli_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/problem"
)

func TestArguments_StoredOrRefused(t *testing.T) {
	t.Parallel()
	var list []string
	var one, two string
	for name, tc := range map[string]struct {
		parse cobra.PositionalArgs
		args  string // separated by spaces
		want  string // list | one | two; "": refused
	}{
		"list":                   {cli.List(&list, 1), "a b c", "a b c||"},
		"list, too few":          {cli.List(&list, 1), "", ""},
		"empty list":             {cli.List(&list, 0), "", "||"},
		"list and last":          {cli.ListAndLast(&list, &two), "a b c", "a b||c"},
		"list and last, too few": {cli.ListAndLast(&list, &two), "a", ""},
		"words":                  {cli.Words(&one, &two), "a b", "|a|b"},
		"words, too few":         {cli.Words(&one, &two), "a", ""},
		"words, too many":        {cli.Words(&one, &two), "a b c", ""},
		"no words":               {cli.Words(), "", "||"},
		"no words, too many":     {cli.Words(), "a", ""},
		"optional":               {cli.Optional(&one), "a", "|a|"},
		"optional, none":         {cli.Optional(&one), "", "||"},
		"optional, too many":     {cli.Optional(&one), "a b", ""},
	} {
		list, one, two = nil, "", ""
		err := tc.parse(&cobra.Command{Use: "verb"}, strings.Fields(tc.args))
		if tc.want == "" {
			require.Equal(t, fault.Usage, fault.ExitOf(err), name)
			require.Equal(t, "verb --help", fault.HintOf(err), name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, tc.want, strings.Join([]string{strings.Join(list, " "), one, two}, "|"), name)
	}
}

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0": 0, "500K": 500_000, "1.5GiB": 3 << 29, "7": 7} {
		n, err := cli.ParseBytes(text, 0)
		require.NoError(t, err, text)
		require.Equal(t, want, n)
	}
	for _, text := range []string{"", "1,5", "-1", "many", "99999999999EiB"} {
		_, err := cli.ParseBytes(text, 0)
		require.Equal(t, fault.Usage, fault.ExitOf(err), text)
	}
	_, err := cli.ParseBytes("0", 1)
	require.Error(t, err)
}

// remotes are items of Each.
func remotes(keys ...string) (all []address.Remote) {
	for _, key := range keys {
		all = append(all, address.Remote{Bucket: "b", Key: key})
	}
	return all
}

func TestEach_ReportsEveryItemUnderItsName(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{1, 4} {
		f, out, errs := factory(t)
		report := f.NewReport("verb", "object").Summing("")
		err := cli.Each(t.Context(), report, parallel, remotes("good", "bad", "fine"), func(at address.Remote, task *cli.Task) (cli.Result, error) {
			if at.Key == "bad" {
				task.Moved(1)
				return cli.Result{}, fault.New(problem.Conflict, "it is bad")
			}
			return cli.Result{Cells: []string{at.Key}}, nil
		})
		require.Equal(t, fault.Partial, fault.ExitOf(err))
		require.ElementsMatch(t, []string{"good", "fine"}, strings.Fields(out.String()))
		require.Contains(t, errs.String(), "s3ctl: verb s3://b/bad: it is bad\n")
		require.Contains(t, errs.String(), "s3ctl: verb: 2 objects in 0s")
		require.Contains(t, errs.String(), ", 1 failed\n")
	}
}

func TestEach_StartsNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	f, _, _ := factory(t)
	ctx, cancel := context.WithCancel(t.Context())
	var began atomic.Int64
	report := f.NewReport("verb", "object").Summing("")
	err := cli.Each(ctx, report, 1, remotes(strings.Split(strings.Repeat("k ", 50), " ")...), func(address.Remote, *cli.Task) (cli.Result, error) {
		began.Add(1)
		cancel()
		return cli.Result{}, nil
	})
	require.Equal(t, fault.Interrupted, fault.ExitOf(err))
	require.EqualValues(t, 1, began.Load())
}

func TestRows_AreATableOrJSON(t *testing.T) {
	t.Parallel()
	type line struct {
		N int `json:"n"`
	}
	for _, tc := range []struct {
		json, tty bool
		want      string
	}{
		{true, true, "{\"n\":1}\n{\"n\":22}\n"},
		{false, false, "one\t1\ntwo\t22\n"},
		{false, true, "NAME   N\none    1\ntwo   22\n"},
	} {
		f, out, _ := factory(t)
		f.Global.JSON, f.IO.OutTTY = tc.json, tc.tty
		rows := f.Rows(term.Column{Title: "NAME"}, term.Column{Title: "N", Right: true})
		require.NoError(t, rows.Add(line{1}, "one", "1"))
		require.NoError(t, rows.Add(line{22}, "two", "22"))
		failed := errors.New("the listing failed")
		require.Equal(t, failed, rows.Flush(failed), "an earlier error is kept, and what was added is shown")
		require.Equal(t, tc.want, out.String())
	}
}
