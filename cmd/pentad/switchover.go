package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/process"
)

func newSwitchoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "switchover",
		Short: "Explain, approve or abort a switchover",
		Long: `A Switchover is an object of the API: apply one (docs/examples), look at its plan, approve it, and watch it go. See
docs/units.md.`,
		Args: exactArgs(),
	}
	cmd.AddCommand(newSwitchoverExplainCommand(), newSwitchoverApproveCommand(), newSwitchoverAbortCommand())
	return cmd
}

func newSwitchoverExplainCommand() *cobra.Command {
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say what a switchover moves, how far it has come, what it waits for, and what to do next",
		Args:  exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Switchovers().Get(cmd.Context(), args[0], metav1.GetOptions{})
			if err != nil {
				return err
			}
			waiting, err := c.ExplainSwitchover(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			explainSwitchover(cmd.OutOrStdout(), s, waiting)
			return nil
		},
	}
	api.register(cmd)
	return cmd
}

// explainSwitchover is the whole of it for a terminal.
func explainSwitchover(out io.Writer, s *v1alpha1.Switchover, waiting *client.Explanation) {
	fmt.Fprintf(out, "%s: %s, %s\n", s.Name, s.Spec.Mode, s.Status.Phase)
	writePlan(out, s)
	if n := len(s.Status.History); n > 0 {
		fmt.Fprintln(out, "\nso far:")
		first := s.Status.History[0].Time
		for _, h := range s.Status.History {
			fmt.Fprintf(out, "  %-12s %s  +%s\n", h.Phase, h.Time.Format("15:04:05.000"), h.Time.Sub(first.Time).Round(1e6))
		}
	}
	fmt.Fprintf(out, "\n%s\n", waiting.Waiting)
	for _, detail := range waiting.Details {
		fmt.Fprintf(out, "  - %s\n", detail)
	}
	if s.Status.Message != "" {
		fmt.Fprintln(out, s.Status.Message)
	}
}

func writePlan(out io.Writer, s *v1alpha1.Switchover) {
	fmt.Fprintf(out, "\nplan %s:\n", s.Status.PlanHash)
	table := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	for _, m := range s.Status.Plan {
		fmt.Fprintf(table, "  %s %d-%d\t%s %s\t->\t%s %s\n", m.Unitization, m.From, m.To, m.Unit, strings.Join(m.Cells, ","),
			m.ToUnit, strings.Join(m.ToCells, ","))
	}
	for _, m := range s.Status.StorePlan {
		fmt.Fprintf(table, "  store %s\tprimary %s\t->\t%s\n", m.Store, m.Primary, m.ToPrimary)
	}
	_ = table.Flush()
}

func newSwitchoverApproveCommand() *cobra.Command {
	var api apiFlags
	var hash string
	cmd := &cobra.Command{
		Use:   "approve NAME",
		Short: "Let a planned switchover begin",
		Long: `Show the plan and ask; yes approves just this plan. With --plan-hash nothing is asked: the approval holds for the plan
with that hash alone, and is refused when it is another by now.`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if hash == "" {
				if hash, err = askApproval(cmd, c, args[0]); err != nil {
					return err
				}
			}
			s, err := c.Switchovers().Approve(cmd.Context(), args[0], hash)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", s.Name, s.Status.Phase)
			return nil
		},
	}
	api.register(cmd)
	cmd.Flags().StringVar(&hash, "plan-hash", "", "approve the plan with this `hash`, unasked")
	return cmd
}

// askApproval shows the plan, and returns its hash when the person says yes.
func askApproval(cmd *cobra.Command, c *client.Client, name string) (string, error) {
	s, err := c.Switchovers().Get(cmd.Context(), name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	writePlan(cmd.OutOrStdout(), s)
	fmt.Fprintf(cmd.OutOrStdout(), "\nbegin %s (%s)? Only yes is yes: ", name, s.Spec.Mode)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return "", process.Usagef("not approved")
	}
	return s.Status.PlanHash, nil
}

func newSwitchoverAbortCommand() *cobra.Command {
	var api apiFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "abort NAME",
		Short: "Roll a switchover back that is not past its commit",
		Args:  exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Switchovers().Abort(cmd.Context(), args[0], reason)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", s.Name, s.Status.Phase)
			return nil
		},
	}
	api.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}
