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
		Short: "List, invite, promote, demote and remove federation servers",
		Long: `The federation's servers are voters, which decide together what operators declare, and read replicas, which only
follow. A new server joins as a replica with a token and is then promoted. See docs/operations.md.`,
		Args: exactArgs(),
	}
	cmd.AddCommand(newMemberListCommand(), newMemberInviteCommand(),
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

// heard is how long ago for people.
func heard(ago time.Duration) string {
	if ago < 0 {
		return "never"
	}
	return ago.Round(100 * time.Millisecond).String()
}

func newMemberInviteCommand() *cobra.Command {
	var api apiFlags
	var output string
	var ttl time.Duration
	var list bool
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Make a token with which one new server can join",
		Long: `Print a token: put it, alone, into the file that join.tokenFile names in the new server's configuration. It lets one
server join, once, until it expires; the servers keep only its hash. --list shows the tokens that are remembered, and
what became of them.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if ttl <= 0 {
				return process.Usagef("ttl: %s: must be above 0, as 1h", ttl)
			}
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if list {
				tokens, err := c.Tokens(cmd.Context())
				if err != nil {
					return err
				}
				return writeTokens(cmd.OutOrStdout(), tokens, output)
			}
			token, err := c.Invite(cmd.Context(), ttl)
			if err != nil {
				return asUsage(err)
			}
			if output == "json" {
				return writeJSON(cmd.OutOrStdout(), token)
			}
			fmt.Fprintln(cmd.OutOrStdout(), token.Token)
			fmt.Fprintf(cmd.ErrOrStderr(), "token %s: good for one server until %s\n", token.Name, token.Expires.Format(time.RFC3339))
			return nil
		},
	}
	api.register(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token is good for, at most 720h")
	cmd.Flags().BoolVar(&list, "list", false, "show the tokens that there are instead")
	return cmd
}

func writeTokens(out io.Writer, tokens []client.Token, output string) error {
	if output == "json" {
		return writeJSON(out, tokens)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TOKEN\tEXPIRES\tUSED BY\tMADE BY")
	for _, t := range tokens {
		used := t.Server
		if used == "" {
			used = "nobody"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.Name, t.Expires.Format(time.RFC3339), used, t.Creator)
	}
	return table.Flush()
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
