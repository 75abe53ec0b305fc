package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/process"
)

func newMemberCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "List, invite, promote, demote and remove federation servers, and revoke invitations",
		Long: `The federation's servers are voters, which decide together what operators declare, and read replicas, which only
follow. A new server joins as a replica with a token and is then promoted. See docs/operations.md.`,
		Args: exactArgs(),
	}
	cmd.AddCommand(newMemberListCommand(), newMemberInviteCommand(), newMemberTokensCommand(), newMemberRevokeCommand(),
		newMemberOrderCommand(client.Promote, "Give a read replica a vote",
			`The server must be there and have caught up with the log, else it is refused: until it has, every write would wait for
it.`, false),
		newMemberOrderCommand(client.Demote, "Take a voter's vote; it stays as a read replica",
			`Refused for the last voter, and when of the voters that remain no majority is there, unless --force is given. A leader
hands its office over first.`, true),
		newMemberOrderCommand(client.Remove, "Remove a server for good",
			`The server stops, and its data folder is never let in again: to come back it needs an empty one and a token. Refused for
the last voter, and when of the voters that remain no majority is there, unless --force is given. A leader hands its
office over first. This is also how a server whose disk was lost is taken out.`, true),
		newMemberTransferCommand())
	return cmd
}

// outputFlag is -o, text or json.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "text or json")
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return process.Usagef("output: %q is neither text nor json", output)
	}
	return nil
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// asUsage makes what the servers refuse a mistake of whoever asked: nothing was changed.
func asUsage(err error) error {
	if errors.Is(err, client.ErrOrder) {
		return &process.UsageError{Err: err}
	}
	return err
}

func newMemberListCommand() *cobra.Command {
	var api apiFlags
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the servers: who votes, who leads, who is behind, and who was not heard of",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			members, err := c.Members(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return writeJSON(cmd.OutOrStdout(), members)
			}
			return writeMembers(cmd.OutOrStdout(), members)
		},
	}
	api.register(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func writeMembers(out io.Writer, members *client.Members) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tREGION\tCENTER\tROLE\tWANTED\tLEADER\tHEARD\tBEHIND\tLEVEL\tVERSION\tAPI")
	for _, m := range members.Members {
		leader := ""
		if m.Leader {
			leader = "leads"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", m.Name, m.Region, m.Center, m.Role, m.Wanted, leader,
			heard(m.Heard), m.Behind, m.Level, m.Version, m.API)
	}
	fmt.Fprintf(table, "\nlevel %d of cluster %s\n", members.Level, members.Cluster)
	return table.Flush()
}

// heard is how long ago for people; who was not heard since its leader leads may have been silent for longer.
func heard(ago time.Duration) string {
	if ago < 0 {
		return ">" + (-ago).Round(100*time.Millisecond).String()
	}
	return ago.Round(100 * time.Millisecond).String()
}

func newMemberOrderCommand(order, short, long string, forced bool) *cobra.Command {
	var api apiFlags
	var force bool
	cmd := &cobra.Command{
		Use:   order + " NAME",
		Short: short,
		Long:  short + ".\n\n" + long,
		Args:  exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			message, err := c.OrderMember(cmd.Context(), args[0], order, force)
			if err != nil {
				return asUsage(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), message)
			return nil
		},
	}
	api.register(cmd)
	if forced {
		cmd.Flags().BoolVar(&force, "force", false, "although of the voters that remain no majority is there")
	}
	return cmd
}

func newMemberTransferCommand() *cobra.Command {
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "transfer NAME",
		Short: "Hand the leadership to a voter",
		Long: `Hand the leadership to a voter, as before its leader's center is worked on. Writes wait meanwhile, none is lost.
When it is done the voter leads. A leader that is stopped by SIGTERM hands its office over by itself.`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.TransferLeadership(cmd.Context(), args[0]); err != nil {
				return asUsage(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "server %s leads\n", args[0])
			return nil
		},
	}
	api.register(cmd)
	return cmd
}
