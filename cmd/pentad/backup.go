package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

func newBackupCommand() *cobra.Command {
	var api apiFlags
	var out, dataDir string
	cmd := &cobra.Command{
		Use:   "backup -o FILE",
		Short: "Write a backup of what is declared and of who may write",
		Long: `Write a backup of the intent: everything that is declared, and the ownership of shards. Any server answers, from a
read at the leader: what was acknowledged before is in it. Discovery is not: agents publish it again.

With --data-dir the backup is made from the folder of a stopped server, and nothing is asked of anybody: what others
acknowledged and that server never heard of is not in it, and what it alone holds may never have been acknowledged.

The file appears under its name when it is whole, on disk and read back. Exit status: 0 written, 1 failed, 2 a wrong flag,
file or folder (nothing was written).`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return process.Usagef("-o must name a file (see %s --help)", cmd.CommandPath())
			}
			if dataDir != "" {
				return backupFolder(cmd.OutOrStdout(), dataDir, out)
			}
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			header, err := writeBackup(out, func(w io.Writer) error { return c.Backup(cmd.Context(), w) })
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", out, header)
			return nil
		},
	}
	cmd.AddCommand(newBackupVerifyCommand())
	api.register(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "the `file` to write; it must not be there")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "the data `folder` of a stopped server, instead of asking one that runs")
	return cmd
}

func backupFolder(stdout io.Writer, dataDir, out string) error {
	var tail consensus.Tail
	header, err := writeBackup(out, func(w io.Writer) (err error) {
		tail, err = server.BackUpFolder(dataDir, w)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s\n", out, header)
	for _, line := range server.MayBeLost(tail) {
		fmt.Fprintln(stdout, line)
	}
	return nil
}

// writeBackup writes a file that is a whole backup, or none.
func writeBackup(path string, write func(io.Writer) error) (header backup.Header, err error) {
	err = process.WriteFile(path, func(w io.Writer) error {
		through, into := io.Pipe()
		go func() { into.CloseWithError(write(into)) }()
		defer through.Close()
		in, err := backup.Read(io.TeeReader(through, w))
		if err != nil {
			return whyNot(through, err)
		}
		header = in.Header()
		if err := in.Verify(); err != nil {
			return whyNot(through, err)
		}
		return nil
	})
	return header, err
}

// whyNot is why no whole backup came: what its writer says, or else what its reader does.
func whyNot(through *io.PipeReader, err error) error {
	if _, first := io.Copy(io.Discard, through); first != nil {
		return first
	}
	return err
}

// openBackup opens a backup's file.
func openBackup(path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, &process.UsageError{Err: err}
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return nil, process.Usagef("%s is no file", path)
	}
	return file, nil
}
