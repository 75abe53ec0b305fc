package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/process"
)

func newMemberInviteCommand() *cobra.Command {
	var api apiFlags
	var output string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Make a token with which one new server can join",
		Long: `Print a token: put it, alone, into the file that join.tokenFile names in the new server's configuration. It lets one
server join, once, until it expires; the servers keep only its hash. "pentad member tokens" shows what became of it, and
"pentad member revoke" takes it back.`,
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
	return cmd
}

func newMemberTokensCommand() *cobra.Command {
	var api apiFlags
	var output string
	cmd := &cobra.Command{
		Use:   "tokens",
		Short: "Show the tokens that are remembered, and what became of them",
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
			tokens, err := c.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			return writeTokens(cmd.OutOrStdout(), tokens, output)
		},
	}
	api.register(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func newMemberRevokeCommand() *cobra.Command {
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "revoke TOKEN",
		Short: "Keep a token that was not used from letting a server in",
		Long: `Revoke a token by the name that "pentad member tokens" shows, as sha256:1f2e3d4c5b6a. A token that was used is
refused: the server that joined with it is taken out with "pentad member remove".`,
		Args: exactArgs("TOKEN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			message, err := c.Revoke(cmd.Context(), args[0])
			if err != nil {
				return asUsage(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), message)
			return nil
		},
	}
	api.register(cmd)
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
		switch {
		case t.Revoked:
			used = "nobody (revoked)"
		case used == "":
			used = "nobody"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.Name, t.Expires.Format(time.RFC3339), used, t.Creator)
	}
	return table.Flush()
}
