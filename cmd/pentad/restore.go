package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

func newRestoreCommand() *cobra.Command {
	var restoration restorationFlags
	cmd := &cobra.Command{
		Use:   "restore --config FILE BACKUP",
		Short: "Begin a new life of an estate from a backup, with one server",
		Long: `Make the empty data folder of a server from a backup. The estate begins a new life, under a higher incarnation and with
another cluster id: this server is its only one, and those of before are refused, as are their tokens. Start it, invite
the others ("pentad member invite"), empty their data folders, and let them join.

What was declared or moved since the backup is lost. Declarations are taken at once, but no unit takes writes until the
estate has been reconciled: until no permit of before can hold, and each store has said which of its members took writes
last ("pentad status" says what is waited for).

Never restore while servers of the old life run: both would give permits. Exit status: 0 restored, 1 failed, 2 a wrong
flag, file or folder (nothing was changed).`,
		Args: exactArgs("BACKUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := restoration.load(cmd)
			if err != nil {
				return err
			}
			file, err := openBackup(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			life, err := r.Restore(file)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "restored %s\n", life.From)
			tellLife(cmd.OutOrStdout(), r, life)
			return nil
		},
	}
	restoration.register(cmd)
	return cmd
}

// restorationFlags are those of restore and recover.
type restorationFlags struct {
	config        string
	longestPermit time.Duration
}

func (f *restorationFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "the configuration `file` of the server")
	cmd.Flags().DurationVar(&f.longestPermit, "longest-permit", 0,
		"the longest that a permit may have been since the backup; nothing takes writes for that long (default 1m0s, the longest "+
			"there is)")
}

func (f *restorationFlags) load(cmd *cobra.Command) (server.Restoration, error) {
	if f.config == "" {
		return server.Restoration{}, process.Usagef("--config must name a file (see %s --help)", cmd.CommandPath())
	}
	r := server.Restoration{LongestPermit: f.longestPermit}
	if cmd.Flags().Changed("longest-permit") && f.longestPermit <= 0 {
		return r, process.Usagef("--longest-permit: %s must be above zero", f.longestPermit)
	}
	return r, process.LoadConfig(f.config, &r.Config)
}

func tellLife(out io.Writer, r server.Restoration, life server.NewLife) {
	fmt.Fprintf(out, `into %s: %d objects, cluster %s, incarnation %d
Next: start server %s; invite each other one (pentad member invite), empty its data folder, and let it join with the token.
Declarations are taken at once; no unit takes writes until the estate has been reconciled: pentad status says what is waited for.
`, r.Config.DataDir, life.Objects, life.Cluster, life.Incarnation, r.Config.Name)
}
