package main

import (
	"github.com/spf13/cobra"

	"pentad.dev/pentad/dev"
)

// defaultData is the data folder of `pentad dev`.
const defaultData = "data"

func newDevCommand() *cobra.Command {
	var config dev.Config
	var level string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole estate on this machine: five centers in three regions",
		Long: `Run a whole estate on loopback until Ctrl-C: in each center a federation server, an agent, two relays, the sample
workload and its clients, each a process of its own that may be killed. The same command resumes what it left.

The default estate has regions hangzhou (hz-a, hz-b), shanghai (sh-a, sh-b) and shenzhen (sz-a); --estate takes another
from a YAML file, --print-estate shows the default.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if show, _ := cmd.Flags().GetBool("print-estate"); show {
				cmd.Print(dev.DefaultEstate())
				return nil
			}
			log, err := newLogger(level)
			if err != nil {
				return err
			}
			config.Log, config.Out = log, cmd.OutOrStdout()
			d, err := dev.New(config)
			if err != nil {
				return err
			}
			return d.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&config.Estate, "estate", "", "the estate `file`; empty: the built-in one")
	cmd.Flags().StringVar(&config.Data, "data", defaultData, "the data `folder`")
	cmd.Flags().StringVar(&level, "log-level", "warn", "of this process alone: debug, info, warn or error")
	cmd.Flags().Bool("print-estate", false, "print the built-in estate and exit")
	cmd.SetOut(nil)
	return cmd
}
