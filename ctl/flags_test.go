package ctl_test

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/command/bucket"
	"github.com/ringstore/ringstore/ctl/command/object"
	"github.com/ringstore/ringstore/ctl/command/profile"
	"github.com/ringstore/ringstore/ctl/command/session"
	"github.com/ringstore/ringstore/ctl/command/transfer"
)

// parse parses a command line to the options of its command, without running it.
func parse[O any](t *testing.T, make func(*cli.Factory) *cobra.Command, args ...string) (got O, err error) {
	t.Helper()
	ran := false
	cmd := make(&cli.Factory{Inspect: func(options any) error {
		o, ok := options.(*O)
		require.True(t, ok, "%T", options)
		got, ran = *o, true
		return nil
	}})
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(t.Context())
	require.Equal(t, err == nil, ran, "either options or an error")
	return got, err
}

// line is a command line and the options that it must produce; without options: an error.
type line[O any] struct {
	args []string
	want *O
}

func check[O any](t *testing.T, make func(*cli.Factory) *cobra.Command, lines []line[O]) {
	t.Helper()
	for _, l := range lines {
		got, err := parse[O](t, make, l.args...)
		if l.want == nil {
			require.Error(t, err, "%v", l.args)
			continue
		}
		require.NoError(t, err, "%v", l.args)
		require.Empty(t, cmp.Diff(*l.want, got, cmpopts.IgnoreTypes(&cli.Factory{}), cmpopts.EquateEmpty()), "%v", l.args)
	}
}

// at selects addresses without any flag.
func at(addresses ...string) cli.Selection { return cli.Selection{Addresses: addresses} }

// usual are the options without any flag.
var usual = transfer.ManagerOptions{Parallel: 8}

func TestPut_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, transfer.NewPut, []line[transfer.PutOptions]{
		{[]string{"a", "s3://b"}, &transfer.PutOptions{Sources: []string{"a"}, Destination: "s3://b", ManagerOptions: usual}},
		{
			[]string{"-r", "a", "b", "-j", "2", "s3://b", "--tries=1"},
			&transfer.PutOptions{Sources: []string{"a", "b"}, Destination: "s3://b", Recursive: true, ManagerOptions: transfer.ManagerOptions{Parallel: 2, Tries: 1}},
		},
		{
			[]string{"-", "s3://b/k", "--content-type", "text/x"},
			&transfer.PutOptions{Sources: []string{"-"}, Destination: "s3://b/k", ManagerOptions: usual, ContentType: "text/x"},
		},
		{[]string{"--", "-x", "s3://b"}, &transfer.PutOptions{Sources: []string{"-x"}, Destination: "s3://b", ManagerOptions: usual}},
		{
			[]string{"a", "s3://b", "--bwlimit", "1.5MiB"},
			&transfer.PutOptions{Sources: []string{"a"}, Destination: "s3://b", ManagerOptions: transfer.ManagerOptions{Parallel: 8, Limit: 3 << 19}},
		},
		{[]string{"a"}, nil},
		{[]string{"a", "s3://b", "--bwlimit", "0"}, nil},
		{[]string{"a", "s3://b", "--bwlimit", "1,000"}, nil},
		{[]string{"a", "s3://b", "-j", "many"}, nil},
		{[]string{"a", "s3://b", "-j", "0"}, nil},
		{[]string{"a", "s3://b", "-j", "-1"}, nil},
		{[]string{"a", "s3://b", "-j", "100000"}, nil},
		{[]string{"a", "s3://b", "--tries", "0"}, nil},
	})
}

func TestGet_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, transfer.NewGet, []line[transfer.GetOptions]{
		{[]string{"s3://b/k"}, &transfer.GetOptions{Selection: at("s3://b/k"), ManagerOptions: usual}},
		{[]string{"s3://b/k", "."}, &transfer.GetOptions{Selection: at("s3://b/k"), Target: ".", ManagerOptions: usual}},
		{
			[]string{"-r", "--raw", "s3://b/k", "s3://b/l", "-"},
			&transfer.GetOptions{Selection: cli.Selection{Addresses: []string{"s3://b/k", "s3://b/l"}, Recursive: true, Raw: true}, Target: "-", ManagerOptions: usual},
		},
		{nil, nil},
	})
}

func TestLs_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, object.NewLs, []line[object.LsOptions]{
		{nil, &object.LsOptions{}},
		{[]string{"-l", "--human", "s3://b"}, &object.LsOptions{Selection: at("s3://b"), Format: object.Format{Long: true, Human: true}}},
		{
			[]string{"-r", "--raw", "s3://b", "s3://c"},
			&object.LsOptions{Selection: cli.Selection{Addresses: []string{"s3://b", "s3://c"}, Recursive: true, Raw: true}},
		},
	})
}

func TestRm_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, object.NewRm, []line[object.RmOptions]{
		{[]string{"s3://b/k"}, &object.RmOptions{Selection: at("s3://b/k")}},
		{
			[]string{"-ry", "--raw", "s3://b/k"},
			&object.RmOptions{Selection: cli.Selection{Addresses: []string{"s3://b/k"}, Recursive: true, Raw: true}, Yes: true},
		},
		{nil, nil},
	})
}

func TestStatAndCat_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, object.NewStat, []line[object.StatOptions]{
		{[]string{"--raw", "s3://b/k"}, &object.StatOptions{Selection: cli.Selection{Addresses: []string{"s3://b/k"}, Raw: true}}},
		{nil, nil},
	})
	check(t, transfer.NewCat, []line[transfer.CatOptions]{
		{[]string{"--range", "-5", "s3://b/k"}, &transfer.CatOptions{Selection: at("s3://b/k"), Range: "-5"}},
		{[]string{"--raw", "s3://b/k"}, &transfer.CatOptions{Selection: cli.Selection{Addresses: []string{"s3://b/k"}, Raw: true}}},
		{nil, nil},
	})
}

func TestBucket_FlagsToOptions(t *testing.T) {
	t.Parallel()
	zero, two := 0, 2
	check(t, bucket.NewCreate, []line[bucket.Options]{
		{[]string{"a"}, &bucket.Options{Buckets: []string{"a"}}},
		{[]string{"a", "--survive", "0"}, &bucket.Options{Buckets: []string{"a"}, Survive: &zero}},
		{[]string{"a", "b", "--survive=2"}, &bucket.Options{Buckets: []string{"a", "b"}, Survive: &two}},
		{nil, nil},
	})
	check(t, bucket.NewRm, []line[bucket.Options]{{[]string{"a"}, &bucket.Options{Buckets: []string{"a"}}}, {nil, nil}})
	check(t, bucket.NewLs, []line[bucket.Options]{{nil, &bucket.Options{}}, {[]string{"a"}, nil}})
}

func TestProfile_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, profile.NewAdd, []line[profile.AddOptions]{
		{[]string{"p", "--endpoint", "e", "--access-key", "k", "--use"}, &profile.AddOptions{Name: "p", Endpoint: "e", AccessKey: "k", Use: true}},
		{nil, nil},
	})
	check(t, profile.NewUse, []line[profile.Options]{{[]string{"p"}, &profile.Options{Name: "p"}}, {nil, nil}})
	check(t, profile.NewRm, []line[profile.Options]{{[]string{"p"}, &profile.Options{Name: "p"}}, {nil, nil}})
	check(t, profile.NewAdd, []line[profile.AddOptions]{{[]string{"p", "--no-check"}, &profile.AddOptions{Name: "p", NoCheck: true}}})
	check(t, profile.NewShow, []line[profile.Options]{
		{nil, &profile.Options{}},
		{[]string{"p"}, &profile.Options{Name: "p"}},
		{[]string{"p", "q"}, nil},
	})
	check(t, profile.NewLs, []line[profile.Options]{{nil, &profile.Options{}}, {[]string{"p"}, nil}})
}

func TestCpAndMv_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, transfer.NewCp, []line[transfer.CpOptions]{
		{
			[]string{"s3://b/k", "s3://c"},
			&transfer.CpOptions{PairOptions: transfer.PairOptions{Selection: at("s3://b/k"), Target: "s3://c"}, ManagerOptions: usual},
		},
		{
			[]string{"-rn", "--raw", "-j2", "--tries", "1", "s3://b/k", "s3://b/l", "s3://c", "--exclude", "x", "--include", "y"},
			&transfer.CpOptions{
				PairOptions: transfer.PairOptions{Target: "s3://c", DryRun: true, Selection: cli.Selection{
					Addresses: []string{"s3://b/k", "s3://b/l"}, Recursive: true, Raw: true, Rules: address.Rules{{Pattern: "x"}, {Pattern: "y", Include: true}},
				}},
				ManagerOptions: transfer.ManagerOptions{Parallel: 2, Tries: 1},
			},
		},
		{[]string{"s3://b/k"}, nil},
		{[]string{"s3://b/k", "s3://c", "--include", "["}, nil},
	})
	check(t, transfer.NewMv, []line[transfer.MvOptions]{
		{[]string{"s3://b/k", "s3://c"}, &transfer.MvOptions{PairOptions: transfer.PairOptions{Selection: at("s3://b/k"), Target: "s3://c"}}},
		{
			[]string{"-r", "--raw", "--dry-run", "--exclude=x", "s3://b/k", "s3://c"},
			&transfer.MvOptions{PairOptions: transfer.PairOptions{Target: "s3://c", DryRun: true, Selection: cli.Selection{
				Addresses: []string{"s3://b/k"}, Recursive: true, Raw: true, Rules: address.Rules{{Pattern: "x"}},
			}}},
		},
		{[]string{"s3://b/k"}, nil},
	})
}

func TestSyncAndDiff_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, transfer.NewSync, []line[transfer.SyncOptions]{
		{[]string{"a", "s3://b"}, &transfer.SyncOptions{Source: "a", Target: "s3://b", ManagerOptions: usual}},
		{
			[]string{"-cny", "--delete", "--include", "x", "-j", "3", "a", "s3://b"},
			&transfer.SyncOptions{
				Source: "a", Target: "s3://b", Checksum: true, DryRun: true, Yes: true, Delete: true,
				Rules: address.Rules{{Pattern: "x", Include: true}}, ManagerOptions: transfer.ManagerOptions{Parallel: 3},
			},
		},
		{[]string{"a"}, nil},
		{[]string{"a", "b", "c"}, nil},
	})
	check(t, transfer.NewDiff, []line[transfer.DiffOptions]{
		{[]string{"a", "s3://b", "-j1"}, &transfer.DiffOptions{Left: "a", Right: "s3://b", Parallel: 1}},
		{[]string{"a"}, nil},
	})
}

func TestFindDuTreeVerify_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, object.NewFind, []line[object.FindOptions]{
		{[]string{"s3://b"}, &object.FindOptions{Selection: at("s3://b"), Larger: object.NoSize, Smaller: object.NoSize}},
		{
			[]string{"-l", "--human", "--name", "*.x", "--type", "a/*", "--larger", "1.5KiB", "--smaller", "0", "--newer", "7d", "--older", "2026-01-02", "--raw", "s3://b"},
			&object.FindOptions{
				Selection: cli.Selection{Addresses: []string{"s3://b"}, Raw: true}, Name: "*.x", Type: "a/*",
				Larger: 1536, Smaller: 0, Newer: "7d", Older: "2026-01-02", Format: object.Format{Long: true, Human: true},
			},
		},
		{[]string{"s3://b", "--larger", "x"}, nil},
		{[]string{"s3://b", "--larger", "-1"}, nil},
		{nil, nil},
	})
	check(t, object.NewDu, []line[object.DuOptions]{
		{[]string{"s3://b"}, &object.DuOptions{Selection: at("s3://b"), Depth: 1}},
		{
			[]string{"-d0", "--raw", "--exclude", "x", "s3://b", "s3://c"},
			&object.DuOptions{Selection: cli.Selection{Addresses: []string{"s3://b", "s3://c"}, Raw: true, Rules: address.Rules{{Pattern: "x"}}}},
		},
		{nil, nil},
	})
	check(t, object.NewTree, []line[object.TreeOptions]{
		{[]string{"-s", "--depth", "2", "s3://b"}, &object.TreeOptions{Address: "s3://b", Depth: 2, Sizes: true}},
		{[]string{"s3://b", "s3://c"}, nil},
	})
	check(t, transfer.NewVerify, []line[transfer.VerifyOptions]{
		{
			[]string{"-r", "s3://b"},
			&transfer.VerifyOptions{Selection: cli.Selection{Addresses: []string{"s3://b"}, Recursive: true}, ManagerOptions: usual},
		},
		{nil, nil},
	})
}

func TestSession_FlagsToOptions(t *testing.T) {
	t.Parallel()
	check(t, session.NewLs, []line[session.LsOptions]{
		{nil, &session.LsOptions{}},
		{[]string{"s3://b"}, &session.LsOptions{Address: "s3://b"}},
		{[]string{"s3://b", "s3://c"}, nil},
	})
	check(t, session.NewAbort, []line[session.AbortOptions]{
		{[]string{"1", "2", "-n"}, &session.AbortOptions{Sessions: []string{"1", "2"}, DryRun: true}},
		{[]string{"--all", "-y", "s3://b"}, &session.AbortOptions{All: "s3://b", Yes: true}},
		{[]string{"s3://b"}, nil},
		{[]string{"--all", "1"}, nil},
		{[]string{"--all", "s3://b", "s3://c"}, nil},
		{[]string{"--all"}, nil},
		{nil, nil},
	})
}
