package v1alpha1

import (
	"fmt"
	"iter"
	"strconv"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Lookup answers what is declared. Objects that it gives are shared: they must not be changed.
type Lookup interface {
	// Center finds a center by name.
	Center(name string) (*Center, bool)
	// Centers are all centers in the order of their names.
	Centers() iter.Seq[*Center]
	// ClusterIn names the first cluster in a center, if there is one.
	ClusterIn(center string) (cluster string, ok bool)
	// PolicyOf names the policy of a service, if there is one.
	PolicyOf(service string) (policy string, ok bool)
	// Policies are all policies in the order of their names.
	Policies() iter.Seq[*ServicePolicy]
	// Clusters are all clusters in the order of their names.
	Clusters() iter.Seq[*Cluster]
	// Store finds a store by name.
	Store(name string) (*Store, bool)
	// Stores are all stores in the order of their names.
	Stores() iter.Seq[*Store]
	// Unitization finds a unitization by name.
	Unitization(name string) (*Unitization, bool)
	// Unitizations are all unitizations in the order of their names.
	Unitizations() iter.Seq[*Unitization]
	// Switchovers are all switchovers in the order of their names, those that have ended too.
	Switchovers() iter.Seq[*Switchover]
	// Expiry is what was decided of a cluster's endpoints; false: nothing ever was.
	Expiry(cluster string) (Expiry, bool)
}

// ValidateReferences finds references of an object to what is not declared, or not fit for it, and references of others
// that the object's new form would break. Old is nil when the object is being created.
func ValidateReferences(object, old Object, lookup Lookup) field.ErrorList {
	switch object := object.(type) {
	case *Center:
		return validateCenterReferences(object, lookup)
	case *Cluster:
		was, _ := old.(*Cluster)
		return validateClusterReferences(object, was, lookup)
	case *ServicePolicy:
		return validateServicePolicyReferences(object, lookup)
	case *Store:
		return validateStoreReferences(object, lookup)
	case *Unitization:
		return validateUnitizationReferences(object, old == nil, lookup)
	case *Switchover:
		if old == nil {
			return validateSwitchoverReferences(object, lookup)
		}
	}
	return nil
}

func validateCenterReferences(center *Center, lookup Lookup) field.ErrorList {
	if center.Spec.Role != CenterArbiter {
		return nil
	}
	if cluster, ok := lookup.ClusterIn(center.Name); ok {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "role"), center.Spec.Role, fmt.Sprintf(
			"cluster %q is in this center, and no cluster may be in an Arbiter center: delete its clusters first, or keep Full",
			cluster))}
	}
	return nil
}

func validateClusterReferences(cluster, old *Cluster, lookup Lookup) field.ErrorList {
	errs := validateFullCenter(field.NewPath("spec", "center"), cluster.Spec.Center, "a cluster", lookup)
	if old != nil {
		errs = append(errs, validateClusterLabels(field.NewPath("metadata", "labels"), labels.FormatLabels(cluster.Labels),
			old, cluster, lookup)...)
	}
	return errs
}

func validateServicePolicyReferences(policy *ServicePolicy, lookup Lookup) field.ErrorList {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	if other, ok := lookup.PolicyOf(policy.Spec.Service); ok && other != policy.Name {
		err := field.Duplicate(spec.Child("service"), policy.Spec.Service)
		err.Detail = fmt.Sprintf("service policy %q is already for this service, and a service has one policy", other)
		errs = append(errs, err)
	}
	for i, tier := range policy.Spec.Failover {
		path := spec.Child("failover").Index(i)
		for j, name := range tier.Centers {
			if _, ok := lookup.Center(name); !ok {
				errs = append(errs, notFound(path.Child("centers").Index(j), name, "must be the name of a declared Center"))
			}
		}
		for j, name := range tier.Regions {
			if !hasRegion(lookup, name) {
				errs = append(errs, notFound(path.Child("regions").Index(j), name, "must be the region of a declared Center"))
			}
		}
	}
	return errs
}

func hasRegion(lookup Lookup, region string) bool {
	for center := range lookup.Centers() {
		if center.Spec.Region == region {
			return true
		}
	}
	return false
}

func notFound(path *field.Path, value, want string) *field.Error {
	err := field.NotFound(path, value)
	err.Detail = want
	return err
}

func quote(s string) string { return strconv.Quote(s) }
