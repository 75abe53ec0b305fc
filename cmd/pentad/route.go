package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/unitization/route"
)

func newRouteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "route",
		Short: "Say where requests go",
		Args:  exactArgs(),
	}
	cmd.AddCommand(newRouteExplainCommand())
	return cmd
}

func newRouteExplainCommand() *cobra.Command {
	var api apiFlags
	var unitization, key, output string
	cmd := &cobra.Command{
		Use:   "explain --unitization NAME --key KEY",
		Short: "Say which rule gives a key its shard, and which unit and cells serve it now",
		Long: `Ask the API for a Unitization, and say how a key becomes a shard (an override, the last digits, or modulo) and who owns
that shard now: range, unit, active cells, state, and since which epoch.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if unitization == "" {
				return process.Usagef("unitization: must be named, as in --unitization users")
			}
			if output != "text" && output != "json" {
				return process.Usagef("output: %q is neither text nor json", output)
			}
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			u, err := c.Unitizations().Get(cmd.Context(), unitization, metav1.GetOptions{})
			if err != nil {
				return err
			}
			e, err := explain(u, key)
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(e)
			}
			fmt.Fprint(cmd.OutOrStdout(), e)
			return nil
		},
	}
	api.register(cmd)
	cmd.Flags().StringVar(&unitization, "unitization", "", "the `name` of the Unitization")
	cmd.Flags().StringVar(&key, "key", "", "the sharding `key`, as it is sent")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// explain compiles a Unitization's rules and map.
func explain(u *v1alpha1.Unitization, key string) (route.Explanation, error) {
	rules := route.Rules{Unitization: u.Name, Shards: int(u.Spec.Shards), Overrides: map[string]int{}}
	if k := u.Spec.Key; k != nil {
		rules.Header, rules.Skip = k.Header, int(k.SkipDigits)
		rules.Function = map[v1alpha1.KeyFunction]route.Function{
			v1alpha1.KeyLastDigits: route.LastDigits, v1alpha1.KeyModulo: route.Modulo,
		}[k.Function]
	}
	for _, o := range u.Spec.Overrides {
		rules.Overrides[o.Key] = int(o.Shard)
	}
	table, err := route.CompileTable(rules)
	if err != nil {
		return route.Explanation{}, err
	}
	var ranges []route.Range
	for _, r := range u.Status.Ranges {
		var since uint64
		if _, err := fmt.Sscan(r.Since, &since); err != nil {
			return route.Explanation{}, fmt.Errorf("status.ranges: since %q: %w", r.Since, err)
		}
		ranges = append(ranges, route.Range{
			From: int(r.From), To: int(r.To), Unit: r.Unit, Cells: r.Cells, Frozen: r.State == v1alpha1.RangeFrozen, Since: since,
		})
	}
	owners, err := route.CompileMap(rules.Shards, ranges)
	if err != nil {
		return route.Explanation{}, err
	}
	return table.Explain(key, owners)
}
