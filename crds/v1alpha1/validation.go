package v1alpha1

import (
	"encoding/json"
	"fmt"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxFailoverTiers bounds spec.failover of a ServicePolicy.
	MaxFailoverTiers = 16
	// MaxTierNames bounds the regions or centers of one tier.
	MaxTierNames = 64
	// MaxTimeout bounds spec.timeouts of a ServicePolicy.
	MaxTimeout = time.Hour
)

// Validate finds what is wrong with a defaulted object by itself. It looks at metadata and spec only; see
// ValidateStatus and ValidateReferences for the rest.
func Validate(object Object) field.ErrorList {
	switch object := object.(type) {
	case *Center:
		return ValidateCenter(object)
	case *Cluster:
		return ValidateCluster(object)
	case *ServicePolicy:
		return ValidateServicePolicy(object)
	case *Store:
		return ValidateStore(object)
	case *Unitization:
		return ValidateUnitization(object)
	case *Switchover:
		return ValidateSwitchover(object)
	case *Estate:
		return ValidateEstate(object)
	}
	return nil
}

// ValidateUpdate finds what is wrong with a change from old to object, beyond what is wrong with object by itself.
func ValidateUpdate(object, old Object) field.ErrorList {
	switch object := object.(type) {
	case *Center:
		if old, ok := old.(*Center); ok {
			return ValidateCenterUpdate(object, old)
		}
	case *Cluster:
		if old, ok := old.(*Cluster); ok {
			return ValidateClusterUpdate(object, old)
		}
	case *ServicePolicy:
		if old, ok := old.(*ServicePolicy); ok {
			return ValidateServicePolicyUpdate(object, old)
		}
	case *Store:
		if old, ok := old.(*Store); ok {
			return ValidateStoreUpdate(object, old)
		}
	case *Unitization:
		if old, ok := old.(*Unitization); ok {
			return ValidateUnitizationUpdate(object, old)
		}
	case *Switchover:
		if old, ok := old.(*Switchover); ok {
			return ValidateSwitchoverUpdate(object, old)
		}
	}
	return nil
}

// ValidateCenter validates a Center. Its name and its region are DNS-1123 labels: they become part of other names.
func ValidateCenter(center *Center) field.ErrorList {
	errs := validateMeta(center, apivalidation.NameIsDNSLabel)
	spec := field.NewPath("spec")
	errs = append(errs, validateLabel(spec.Child("region"), center.Spec.Region, "hangzhou")...)
	errs = append(errs, validateEnum(spec.Child("role"), center.Spec.Role, CenterFull, CenterArbiter)...)
	phase := center.Spec.declared().Phase
	return append(errs, validateEnum(spec.Child("phase"), phase, CenterOpen, CenterDraining, CenterClosed)...)
}

// ValidateCenterUpdate keeps the region.
func ValidateCenterUpdate(center, old *Center) field.ErrorList {
	return immutable(field.NewPath("spec", "region"), center.Spec.Region, old.Spec.Region, "a center does not move")
}

// ValidateCluster validates a Cluster. Its name is a DNS-1123 label: it is part of its feeds' names and of its
// identities.
func ValidateCluster(cluster *Cluster) field.ErrorList {
	errs := validateMeta(cluster, apivalidation.NameIsDNSLabel)
	spec := field.NewPath("spec")
	errs = append(errs, validateLabel(spec.Child("center"), cluster.Spec.Center, "hz-a")...)
	errs = append(errs, validateOnSilence(spec.Child("onSilence"), cluster.Spec.OnSilence)...)
	return append(errs, validateEnum(spec.Child("type"), cluster.Spec.Type, ClusterVM)...)
}

// ValidateClusterUpdate keeps the center.
func ValidateClusterUpdate(cluster, old *Cluster) field.ErrorList {
	return immutable(field.NewPath("spec", "center"), cluster.Spec.Center, old.Spec.Center, "a cluster does not move")
}

// ValidateServicePolicy validates a ServicePolicy.
func ValidateServicePolicy(policy *ServicePolicy) field.ErrorList {
	errs := validateMeta(policy, apivalidation.NameIsDNSSubdomain)
	spec := field.NewPath("spec")
	errs = append(errs, validateSubdomain(spec.Child("service"), policy.Spec.Service, "orders")...)
	errs = append(errs, validateFailover(spec.Child("failover"), policy.Spec.Failover)...)
	if timeouts := policy.Spec.Timeouts; timeouts != nil {
		path := spec.Child("timeouts")
		errs = append(errs, validateTimeout(path.Child("request"), timeouts.Request)...)
		errs = append(errs, validateTimeout(path.Child("connect"), timeouts.Connect)...)
	}
	return errs
}

// ValidateServicePolicyUpdate keeps the service.
func ValidateServicePolicyUpdate(policy, old *ServicePolicy) field.ErrorList {
	return immutable(field.NewPath("spec", "service"), policy.Spec.Service, old.Spec.Service,
		"make another policy for another service")
}

func validateFailover(path *field.Path, tiers []FailoverTier) field.ErrorList {
	var errs field.ErrorList
	if len(tiers) > MaxFailoverTiers {
		return append(errs, field.TooMany(path, len(tiers), MaxFailoverTiers))
	}
	seen := map[string]*field.Path{}
	once := func(path *field.Path, what, name string) {
		if first, ok := seen[what+"/"+name]; ok {
			err := field.Duplicate(path, name)
			err.Detail = fmt.Sprintf("%s has it already: endpoints belong to the first tier that has them", first)
			errs = append(errs, err)
			return
		}
		seen[what+"/"+name] = path
	}
	for i, tier := range tiers {
		path := path.Index(i)
		if !exactlyOne(tier.Scope != "", len(tier.Regions) > 0, len(tier.Centers) > 0) {
			errs = append(errs, field.Invalid(path, tier, "must have exactly one of scope, regions and centers"))
			continue
		}
		if tier.Scope != "" {
			bad := validateEnum(path.Child("scope"), tier.Scope, ScopeCenter, ScopeRegion, ScopeAny)
			if errs = append(errs, bad...); len(bad) == 0 {
				once(path.Child("scope"), "scope", string(tier.Scope))
			}
		}
		errs = append(errs, validateNames(path.Child("regions"), "region", tier.Regions, once)...)
		errs = append(errs, validateNames(path.Child("centers"), "center", tier.Centers, once)...)
	}
	return errs
}

func validateNames(path *field.Path, what string, list []string, once func(*field.Path, string,
	string)) field.ErrorList {
	if len(list) > MaxTierNames {
		return field.ErrorList{field.TooMany(path, len(list), MaxTierNames)}
	}
	var errs field.ErrorList
	for i, name := range list {
		bad := validateLabel(path.Index(i), name, map[string]string{"region": "hangzhou", "center": "hz-a"}[what])
		if errs = append(errs, bad...); len(bad) == 0 {
			once(path.Index(i), what, name)
		}
	}
	return errs
}

func validateTimeout(path *field.Path, timeout *metav1.Duration) field.ErrorList {
	if timeout == nil || timeout.Duration > 0 && timeout.Duration <= MaxTimeout {
		return nil
	}
	return field.ErrorList{field.Invalid(path, timeout.Duration.String(), "must be above 0s and at most 1h, as in 2s")}
}

func validateMeta(object Object, name apivalidation.ValidateNameFunc) field.ErrorList {
	return apivalidation.ValidateObjectMetaAccessor(object, false, name, field.NewPath("metadata"))
}

func validateLabel(path *field.Path, value, example string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, fmt.Sprintf("must be a DNS-1123 label, as in %q", example))}
	}
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Label(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

func validateSubdomain(path *field.Path, value, example string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, fmt.Sprintf("must be a DNS-1123 subdomain, as in %q", example))}
	}
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Subdomain(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

func validateEnum[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

func immutable[T comparable](path *field.Path, value, old T, why string) field.ErrorList {
	if value == old {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, fmt.Sprintf("must stay %q: %s", fmt.Sprint(old), why))}
}

func exactlyOne(conditions ...bool) bool {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n == 1
}

// asJSON shows what a field had.
func asJSON(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(encoded)
}
