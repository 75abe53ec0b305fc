package registry

import (
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"pentad.dev/pentad/crds/v1alpha1"
)

// shownHash is how much of a plan's hash a table shows: enough to tell two plans apart. An approval names all of it.
const shownHash = 12

func stores() kind {
	return kind{
		name: v1alpha1.KindStore, plural: "stores", singular: "store", short: []string{"st"},
		newList: func() runtime.Object { return &v1alpha1.StoreList{} },
		columns: []metav1.TableColumnDefinition{
			column("Primary", "The center of the member that takes writes now."),
			column("State", "Open takes writes, Closed does not."),
			column("Token", "The highest token ordered; the store refuses lower ones."),
			column("Replication", "What an acknowledged write means."),
			column("Switchover", "The one that moves the store now."),
			wide("Members", "The centers of the members, the declared primary first."),
			wide("Permit", "Whether a primary that is cut off closes by itself."),
		},
		cells: func(object v1alpha1.Object) []any {
			store := object.(*v1alpha1.Store)
			status := store.Status
			return []any{
				orUnset(status.Primary), orUnset(string(status.State)), orUnset(status.Token),
				string(store.Spec.Replication), orUnset(status.Switchover), members(store),
				strconv.FormatBool(store.Spec.HoldsPermit),
			}
		},
		fields: func(object v1alpha1.Object) fields.Set {
			store := object.(*v1alpha1.Store)
			return fields.Set{
				"spec.primary": store.Spec.Primary, "status.primary": store.Status.Primary,
				"status.state": string(store.Status.State), "status.switchover": store.Status.Switchover,
			}
		},
	}
}

func unitizations() kind {
	return kind{
		name: v1alpha1.KindUnitization, plural: "unitizations", singular: "unitization", short: []string{"uz"},
		newList: func() runtime.Object { return &v1alpha1.UnitizationList{} },
		columns: []metav1.TableColumnDefinition{
			column("Shards", "The number of shards."),
			column("Epoch", "The version of the ownership map that holds now."),
			column("Units", "The units, and who owns what now with -o yaml."),
			column("Frozen", "The shards that take reads only now."),
			column("Switchover", "The one that moves shards now."),
			wide("Isolation", "What units do when their permits end."),
			wide("Services", "The services that are routed by the units."),
		},
		cells: func(object v1alpha1.Object) []any {
			unitization := object.(*v1alpha1.Unitization)
			spec, status := unitization.Spec, unitization.Status
			var units, services []string
			for _, unit := range spec.Units {
				units = append(units, unit.Name)
			}
			for _, service := range spec.Services {
				services = append(services, service.Name)
			}
			return []any{
				int64(spec.Shards), orUnset(status.Epoch), few(units), frozen(status.Ranges), movers(status.Ranges),
				string(spec.Isolation), few(services),
			}
		},
		fields: func(v1alpha1.Object) fields.Set { return fields.Set{} },
	}
}

func switchovers() kind {
	return kind{
		name: v1alpha1.KindSwitchover, plural: "switchovers", singular: "switchover", short: []string{"so"},
		newList: func() runtime.Object { return &v1alpha1.SwitchoverList{} },
		columns: []metav1.TableColumnDefinition{
			column("Mode", "What the switchover may count on."),
			column("Phase", "How far it has come."),
			column("Moves", "What moves."),
			column("Plan", "The beginning of the plan's hash; an approval names all of it."),
			column("Message", "What it waits for, or why it ended."),
			wide("Approver", "Who approved the plan."),
		},
		cells: func(object v1alpha1.Object) []any {
			switchover := object.(*v1alpha1.Switchover)
			status := switchover.Status
			return []any{
				string(switchover.Spec.Mode), orUnset(string(status.Phase)), moved(switchover.Spec),
				orUnset(status.PlanHash[:min(shownHash, len(status.PlanHash))]), orUnset(status.Message),
				orUnset(status.ApprovedBy),
			}
		},
		fields: func(object v1alpha1.Object) fields.Set {
			switchover := object.(*v1alpha1.Switchover)
			return fields.Set{
				"spec.mode": string(switchover.Spec.Mode), "status.phase": string(switchover.Status.Phase),
			}
		},
	}
}

// members are the centers of a store, with the declared primary in front.
func members(store *v1alpha1.Store) string {
	centers := []string{store.Spec.Primary}
	for _, member := range store.Spec.Members {
		if member.Center != store.Spec.Primary {
			centers = append(centers, member.Center)
		}
	}
	return strings.Join(centers, ",")
}

// frozen are the shards that take reads only, as 0-24,50.
func frozen(ranges []v1alpha1.OwnedRange) string {
	var parts []string
	for _, r := range ranges {
		switch {
		case r.State != v1alpha1.RangeFrozen:
		case r.From == r.To:
			parts = append(parts, strconv.Itoa(int(r.From)))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", r.From, r.To))
		}
	}
	return few(parts)
}

// movers are the switchovers that move ranges, each once.
func movers(ranges []v1alpha1.OwnedRange) string {
	var names []string
	seen := map[string]bool{"": true}
	for _, r := range ranges {
		if !seen[r.Switchover] {
			names = append(names, r.Switchover)
		}
		seen[r.Switchover] = true
	}
	return few(names)
}

// moved says in a few words what a switchover moves.
func moved(spec v1alpha1.SwitchoverSpec) string {
	switch {
	case spec.Evacuate != nil && spec.Evacuate.Region != "":
		return "out of region " + spec.Evacuate.Region
	case spec.Evacuate != nil:
		return "out of center " + spec.Evacuate.Center
	case spec.ReturnToBaseline:
		return "to the baseline"
	}
	var parts []string
	for _, move := range spec.Moves {
		part := move.Unit
		if move.ToUnit != "" {
			part += ">" + move.ToUnit
		}
		parts = append(parts, part+">"+strings.Join(move.ToCenters, "+"))
	}
	return few(parts)
}

// few keeps a list within a line.
func few(list []string) string {
	const most = 5
	switch {
	case len(list) == 0:
		return unset
	case len(list) > most:
		return fmt.Sprintf("%s,... (%d)", strings.Join(list[:most], ","), len(list))
	}
	return strings.Join(list, ",")
}

func orUnset(s string) string {
	if s == "" {
		return unset
	}
	return s
}
