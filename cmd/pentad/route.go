package main

import (
	"encoding/json"
	"fmt"
	"io"

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
		Use:   "explain --key KEY",
		Short: "Say which rule gives a key its shard, and which unit and cells serve it now",
		Long: `Ask the API for the Unitizations, and say how a key becomes a shard (an override, the last digits, or modulo) and who
owns that shard now: range, unit, active cells, state, and since which epoch. Without --unitization all that have a key
answer.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if key == "" {
				return process.Usagef("key: must be given, as in --key 20880042")
			}
			if output != "text" && output != "json" {
				return process.Usagef("output: %q is neither text nor json", output)
			}
			c, err := api.client()
			if err != nil {
				return err
			}
			defer c.Close()
			list, err := c.Unitizations().List(cmd.Context(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			explanations, err := explainAll(list.Items, unitization, key)
			if err != nil {
				return err
			}
			return writeExplanations(cmd.OutOrStdout(), explanations, output)
		},
	}
	api.register(cmd)
	cmd.Flags().StringVar(&unitization, "unitization", "", "the `name` of a Unitization; empty: all with a key")
	cmd.Flags().StringVar(&key, "key", "", "the sharding `key`, as it is sent")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// explainAll explains the key by one Unitization, or by all that have a key.
func explainAll(all []v1alpha1.Unitization, name, key string) (explanations []route.Explanation, err error) {
	for i := range all {
		u := &all[i]
		if name != "" && u.Name != name || name == "" && u.Spec.Key == nil {
			continue
		}
		e, err := explain(u, key)
		if err != nil {
			return nil, err
		}
		explanations = append(explanations, e)
	}
	if len(explanations) == 0 {
		return nil, fmt.Errorf("unitization %q: there is none of this name that has a key", name)
	}
	return explanations, nil
}

func writeExplanations(out io.Writer, explanations []route.Explanation, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(explanations)
	}
	for i, e := range explanations {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprint(out, e)
	}
	return nil
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
