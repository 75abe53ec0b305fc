package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateDelete finds what still refers to an object that is to be deleted, or still happens to it.
func ValidateDelete(object Object, lookup Lookup) field.ErrorList {
	switch object := object.(type) {
	case *Center:
		return validateCenterDelete(object, lookup)
	case *Cluster:
		return validateClusterDelete(object, lookup)
	case *Store:
		return validateStoreDelete(object, lookup)
	case *Unitization:
		return validateUnitizationDelete(object)
	case *Switchover:
		return validateSwitchoverDelete(object)
	}
	return nil
}

func inUse(object Object, format string, args ...any) field.ErrorList {
	path := field.NewPath("metadata", "name")
	return field.ErrorList{field.Invalid(path, object.GetName(), fmt.Sprintf(format, args...))}
}

func validateCenterDelete(center *Center, lookup Lookup) field.ErrorList {
	var errs field.ErrorList
	// A cell and a member of a store are in clusters: they hold the center through those.
	if cluster, ok := lookup.ClusterIn(center.Name); ok {
		errs = append(errs, inUse(center, "cluster %q is in this center: delete its clusters first", cluster)...)
	}
	lastOfRegion := true
	for other := range lookup.Centers() {
		if other.Name != center.Name && other.Spec.Region == center.Spec.Region {
			lastOfRegion = false
			break
		}
	}
	for policy := range lookup.Policies() {
		where, ok := names(policy, center, lastOfRegion)
		if ok {
			return append(errs, inUse(center, "service policy %q names it in %s: change the policy first",
				policy.Name, where)...)
		}
	}
	return errs
}

// names says where a policy names a center, or a region that has no other center.
func names(policy *ServicePolicy, center *Center, lastOfRegion bool) (*field.Path, bool) {
	for i, tier := range policy.Spec.Failover {
		path := field.NewPath("spec", "failover").Index(i)
		for j, name := range tier.Centers {
			if name == center.Name {
				return path.Child("centers").Index(j), true
			}
		}
		for j, name := range tier.Regions {
			if lastOfRegion && name == center.Spec.Region {
				return path.Child("regions").Index(j), true
			}
		}
	}
	return nil, false
}

func validateClusterDelete(cluster *Cluster, lookup Lookup) field.ErrorList {
	var errs field.ErrorList
	for store := range lookup.Stores() {
		if i := memberIn(store, cluster.Name); i >= 0 {
			errs = append(errs, inUse(cluster, "store %q has spec.members[%d] in this cluster: change the store first",
				store.Name, i)...)
			break
		}
	}
	return append(errs, validateClusterLabels(field.NewPath("metadata", "name"), cluster.Name, cluster, nil, lookup)...)
}

func memberIn(store *Store, cluster string) int {
	for i, member := range store.Spec.Members {
		if member.Cluster == cluster {
			return i
		}
	}
	return -1
}

func validateStoreDelete(store *Store, lookup Lookup) field.ErrorList {
	if by := store.Status.Switchover; by != "" {
		return inUse(store, "switchover %q moves it now: wait until it has ended, or abort it", by)
	}
	for unitization := range lookup.Unitizations() {
		for _, unit := range unitization.Spec.Units {
			if unit.Store == store.Name {
				return inUse(store, "unit %q of unitization %q has its data there: delete the unit first",
					unit.Name, unitization.Name)
			}
		}
	}
	return nil
}

func validateUnitizationDelete(unitization *Unitization) field.ErrorList {
	if by := movedBy(unitization); by != "" {
		return inUse(unitization, "switchover %q moves its shards now: wait until it has ended, or abort it", by)
	}
	return nil
}

func validateSwitchoverDelete(switchover *Switchover) field.ErrorList {
	if phase := switchover.Status.Phase; phase.Running() {
		return inUse(switchover, "is in phase %s and holds locks: abort it, or wait until it has ended", phase)
	}
	return nil
}
