// Command pentad is the whole of Pentad in one binary: the federation server, the cluster's agent and relay, and the tools
// around them. `pentad help` lists what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/process"
)

// Exit statuses.
const (
	exitFailed = 1 // it was tried and failed; a drill's verdict is no
	exitUsage  = 2 // a wrong flag, file, object or folder: nothing was started or changed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "pentad:", err)
	var usage *process.UsageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "pentad",
		Short: "Federates clusters and VM estates over regions and moves business units between them",
		Long: `Pentad federates Kubernetes clusters and VM estates over regions. It gathers their registries into one catalog, keeps
what operators declare in a replicated control plane that survives the loss of a region, and tells every data plane
about both over xDS.

Start with "pentad dev" (a whole estate on this machine) or "pentad drill" (the same under fire, with a report).`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return process.Usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(
		newServerCommand(), newAgentCommand(), newRelayCommand(),
		newDevCommand(), newDrillCommand(), newSampleCommand(), newLoadCommand(),
		newSwitchoverCommand(), newRouteCommand(), newMemberCommand(),
		newBackupCommand(), newRestoreCommand(), newRecoverCommand(),
		newBootstrapCommand(), newStatusCommand(), newVersionCommand(),
	)
	return root
}

// exactArgs refuses a wrong number of arguments as a usage error, naming them.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return process.Usagef("%s takes %d argument(s) %v, not %q (see %s --help)", cmd.CommandPath(), len(names), names, args, cmd.CommandPath())
		}
		return nil
	}
}
