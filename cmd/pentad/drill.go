package main

import (
	"strings"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/dev/drill"
	"pentad.dev/pentad/process"
)

// defaultDrillData is the data folder of `pentad drill`.
const defaultDrillData = "data/drill"

func newDrillCommand() *cobra.Command {
	var config drill.Config
	var level string
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Hold a drill: an estate under traffic, deaths and returns, and a report with a verdict",
		Long: `Start an estate of its own on this machine, put it under real traffic, and kill parts of it: instances, the Raft leader,
three of five servers, every process of a region; then bring all back. A live table shows it; the report (terminal, JSON
and one HTML page in the data folder) says for each step what it took and whether the promises held.

Exit status: 0 the verdict is yes, 1 it is no or the drill could not be held, 2 a wrong flag, file or folder. Ctrl-C stops
everything and still writes what was seen so far.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level)
			if err != nil {
				return err
			}
			config.Log, config.Out, config.Version = log, cmd.OutOrStdout(), process.Version()
			d, err := drill.New(config)
			if err != nil {
				return err
			}
			return d.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.Estate, "estate", "", "the estate `file`; empty: the built-in one")
	flags.StringVar(&config.Data, "data", defaultDrillData, "the `folder` of the drill; an earlier drill's is replaced")
	flags.BoolVar(&config.Keep, "keep", false, "keep the processes' own data, too")
	flags.BoolVar(&config.Plain, "plain", false, "print lines instead of a table that is drawn anew")
	flags.BoolVar(&config.Strict, "strict", false, "a missed bound of speed makes the verdict no, too")
	flags.StringVar(&config.Story, "story", "", "what happens: "+strings.Join(drill.Stories(), ", ")+"; empty: the first")
	flags.StringVar(&config.Plant, "plant", "", "break something on purpose, to see the verdict find it: "+strings.Join(drill.Plants(), ", "))
	flags.StringVar(&level, "log-level", "error", "of this process alone: debug, info, warn or error")
	return cmd
}
