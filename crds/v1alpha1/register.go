package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every kind.
const GroupName = "pentad.dev"

// GroupVersion is the only served version.
var GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// AddToScheme registers the kinds twice: as v1alpha1 and, the same Go types, as the internal hub version, so that no
// conversion code is needed before there is a second version.
func AddToScheme(s *runtime.Scheme) error {
	for _, version := range []string{GroupVersion.Version, runtime.APIVersionInternal} {
		s.AddKnownTypes(schema.GroupVersion{Group: GroupName, Version: version},
			&Center{}, &CenterList{}, &Cluster{}, &ClusterList{}, &ServicePolicy{}, &ServicePolicyList{}, &Store{}, &StoreList{},
			&Unitization{}, &UnitizationList{}, &Switchover{}, &SwitchoverList{}, &SwitchoverApproval{}, &SwitchoverAbort{},
			&Estate{}, &EstateList{})
	}
	metav1.AddToGroupVersion(s, GroupVersion)
	return s.SetVersionPriority(GroupVersion)
}
