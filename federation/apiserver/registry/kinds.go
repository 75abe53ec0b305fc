package registry

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"pentad.dev/pentad/crds/v1alpha1"
)

// category is the name under which kubectl gets all kinds at once.
const category = "pentad"

// unset is how kubectl shows that nothing is there.
const unset = "<none>"

func kinds() []kind {
	return []kind{centers(), clusters(), servicePolicies(), stores(), unitizations(), switchovers(), estates()}
}

func centers() kind {
	return kind{
		name: v1alpha1.KindCenter, plural: "centers", singular: "center", short: []string{"ctr"},
		newList: func() runtime.Object { return &v1alpha1.CenterList{} },
		columns: []metav1.TableColumnDefinition{
			column("Region", "The city that the center is in."),
			column("Role", "Full runs workloads, Arbiter only votes."),
			column("Phase", "Units may move into an Open center only."),
		},
		cells: func(object v1alpha1.Object) []any {
			spec := object.(*v1alpha1.Center).Spec
			return []any{spec.Region, string(spec.Role), string(spec.Phase)}
		},
		fields: func(object v1alpha1.Object) fields.Set {
			spec := object.(*v1alpha1.Center).Spec
			return fields.Set{"spec.region": spec.Region, "spec.role": string(spec.Role), "spec.phase": string(spec.Phase)}
		},
	}
}

func clusters() kind {
	return kind{
		name: v1alpha1.KindCluster, plural: "clusters", singular: "cluster",
		newList: func() runtime.Object { return &v1alpha1.ClusterList{} },
		columns: []metav1.TableColumnDefinition{
			column("Center", "The center that the cluster is in."),
			column("Region", "The region of that center."),
			column("Type", "What the cluster is made of."),
			column("Expired", "Whether its endpoints are withdrawn because nobody hears of it."),
			wide("Keep For", "How long its endpoints are kept when nobody hears of it."),
		},
		cells: func(object v1alpha1.Object) []any {
			cluster := object.(*v1alpha1.Cluster)
			return []any{
				cluster.Spec.Center, cluster.Status.Region, string(cluster.Spec.Type),
				conditionOf(cluster.Status.Conditions, v1alpha1.ConditionExpired), keepFor(cluster.Spec),
			}
		},
		fields: func(object v1alpha1.Object) fields.Set {
			cluster := object.(*v1alpha1.Cluster)
			return fields.Set{
				"spec.center": cluster.Spec.Center, "spec.type": string(cluster.Spec.Type),
				"status.region": cluster.Status.Region,
			}
		},
	}
}

func servicePolicies() kind {
	connect := wide("Connect", "The longest that a new connection may take.")
	return kind{
		name: v1alpha1.KindServicePolicy, plural: "servicepolicies", singular: "servicepolicy", short: []string{"sp"},
		newList: func() runtime.Object { return &v1alpha1.ServicePolicyList{} },
		columns: []metav1.TableColumnDefinition{
			column("Service", "The service that the policy is for."),
			column("Failover", "Where callers go, in order of preference."),
			column("Timeout", "The longest that a whole call may take."),
			connect,
		},
		cells: func(object v1alpha1.Object) []any {
			spec := object.(*v1alpha1.ServicePolicy).Spec
			request, connect := unset, unset
			if spec.Timeouts != nil {
				request, connect = duration(spec.Timeouts.Request), duration(spec.Timeouts.Connect)
			}
			return []any{spec.Service, failover(spec.Failover), request, connect}
		},
		fields: func(object v1alpha1.Object) fields.Set {
			return fields.Set{"spec.service": object.(*v1alpha1.ServicePolicy).Spec.Service}
		},
	}
}

func column(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Description: description}
}

// wide is a column that is shown with -o wide only.
func wide(name, description string) metav1.TableColumnDefinition {
	definition := column(name, description)
	definition.Priority = 1
	return definition
}

func duration(d *metav1.Duration) string {
	if d == nil {
		return unset
	}
	return d.Duration.String()
}

// failover is the order of preference in a line: Center>region:shanghai,shenzhen>Any.
func failover(tiers []v1alpha1.FailoverTier) string {
	if len(tiers) == 0 { // what the absence means
		tiers = []v1alpha1.FailoverTier{
			{Scope: v1alpha1.ScopeCenter}, {Scope: v1alpha1.ScopeRegion}, {Scope: v1alpha1.ScopeAny},
		}
	}
	var parts []string
	for _, tier := range tiers {
		switch {
		case len(tier.Regions) > 0:
			parts = append(parts, "region:"+strings.Join(tier.Regions, ","))
		case len(tier.Centers) > 0:
			parts = append(parts, "center:"+strings.Join(tier.Centers, ","))
		default:
			parts = append(parts, string(tier.Scope))
		}
	}
	return strings.Join(parts, ">")
}
