package ctl

import (
	"embed"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed topics/*.txt
var topicTexts embed.FS

// topics are the help topics: `s3ctl help addresses` and the like.
func topics() []*cobra.Command {
	list := []*cobra.Command{exitCodes()}
	for _, t := range [][2]string{
		{"addresses", "How objects, files and streams are named, and how to quote them"},
		{"environment", "The environment variables and files that s3ctl reads"},
		{"profiles", "How s3ctl finds the server, and the key to use"},
		{"scripting", "What scripts can rely on"},
	} {
		text, _ := topicTexts.ReadFile("topics/" + t[0] + ".txt") // embedded files are there
		list = append(list, &cobra.Command{Use: t[0], Short: t[1], Long: strings.TrimSpace(string(text))})
	}
	return list
}

// exitCodes is a help topic: `s3ctl help exit-codes`.
func exitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("s3ctl ends with one of these codes. With --json an error has the name as \"code\" and the\nnumber as \"exit_code\".\n\n")
	b.WriteString(ExitCodeTable())
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimRight(b.String(), "\n")}
}
