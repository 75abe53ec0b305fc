package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

const acceptLoss = "i-accept-losing-what-only-the-others-have"

func newRecoverCommand() *cobra.Command {
	var restoration restorationFlags
	var accepted bool
	cmd := &cobra.Command{
		Use:   "recover --config FILE --" + acceptLoss,
		Short: "Go on with what one stopped server holds, when the majority is lost for good",
		Long: `Make the state in a stopped server's data folder the beginning of a new life of the estate, with this server alone.
Without --` + acceptLoss + ` it only says what may be lost, and changes nothing.

Choose the survivor that holds most (the highest term, and of those the highest entry), and be certain that the others
are lost for good, or stopped and their data folders emptied: a majority of them that comes back would be another estate.
The old log stays in the data folder under another name, with a backup of its state. Interrupted, it is begun again.

The others join with tokens, as after "pentad restore". Exit status: 0 recovered, 1 failed, 2 a wrong flag, file or
folder, or the loss is not accepted (nothing was changed).`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := restoration.load(cmd)
			if err != nil {
				return err
			}
			recovery, err := server.OpenRecovery(r)
			if err != nil {
				return err
			}
			defer recovery.Close()
			out := cmd.OutOrStdout()
			for _, line := range server.MayBeLost(recovery.Tail) {
				fmt.Fprintln(out, line)
			}
			if !accepted {
				return process.Usagef("nothing was changed: to go on with this, add --%s", acceptLoss)
			}
			done, err := recovery.Recover()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "recovered %s\n", done.From)
			fmt.Fprintf(out, "before: the old log is %s, its state is %s\n", done.Old, done.Backup)
			tellLife(out, r, done.NewLife)
			return nil
		},
	}
	restoration.register(cmd)
	cmd.Flags().BoolVar(&accepted, acceptLoss, false, "go on, and lose what only the other servers had")
	return cmd
}
