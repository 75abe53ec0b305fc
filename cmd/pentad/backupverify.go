package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"pentad.dev/pentad/federation/server"
)

func newBackupVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a backup as a restore would, and say what is in it",
		Long: `Read a whole backup as "pentad restore" would: its checksum, its version, and each object in it, by this build's rules.
Nothing is written, and nothing is asked of anybody. A file of which this says that it can be restored can be restored, by
this build, into an empty folder.

Exit status: 0 it can be restored, 1 it could not be read, 2 it cannot: it is cut short, altered, something else, or of a
later version of Pentad (the message says which).`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := openBackup(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			in, err := server.Inspect(file)
			if err != nil {
				return fmt.Errorf("%s cannot be restored: %w", args[0], err)
			}
			tellInspection(cmd.OutOrStdout(), args[0], in, time.Since(in.Taken))
			return nil
		},
	}
}

func tellInspection(out io.Writer, path string, in server.Inspection, age time.Duration) {
	fmt.Fprintf(out, "%s can be restored: it is whole, and this build reads all of it\n", path)
	fmt.Fprintf(out, "of        %s, %s ago\n", in.Header, duration.HumanDuration(age))
	fmt.Fprintf(out, "life      incarnation %d\n", in.Incarnation)
	total := 0
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(in.Objects)) {
		total += in.Objects[kind]
		kinds = append(kinds, fmt.Sprintf("%d %s", in.Objects[kind], kind))
	}
	if total == 0 {
		kinds = []string{"nothing is declared in it"}
	}
	fmt.Fprintf(out, "objects   %d: %s\n", total, strings.Join(kinds, ", "))
	fmt.Fprintf(out, "ownership epoch %d, %d ranges of shards, %d switchovers under way\n", in.Epoch, in.Shards, in.Running)
	fmt.Fprintf(out, "servers   %d, of which %d vote; %d tokens could be used then (none can after a restore)\n", in.Servers, in.Voters, in.Tokens)
}
