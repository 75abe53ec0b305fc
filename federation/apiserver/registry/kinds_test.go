package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"pentad.dev/pentad/crds/v1alpha1"
)

func TestTablesSayTheEssentials(t *testing.T) {
	policy := func(spec v1alpha1.ServicePolicySpec) *v1alpha1.ServicePolicy {
		return &v1alpha1.ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec}
	}
	for _, c := range []struct {
		kind kind
		obj  runtime.Object
		want string
	}{
		{
			centers(), &v1alpha1.Center{
				ObjectMeta: metav1.ObjectMeta{Name: "hz-a"},
				Spec: v1alpha1.CenterSpec{
					Region: "hangzhou", Role: v1alpha1.CenterFull, Phase: v1alpha1.CenterDraining,
				},
			},
			"Name=hz-a Region=hangzhou Role=Full Phase=Draining Age=<unknown>",
		},
		{
			clusters(), &v1alpha1.Cluster{
				ObjectMeta: metav1.ObjectMeta{Name: "vm"}, Spec: v1alpha1.ClusterSpec{Center: "hz-a", Type: v1alpha1.ClusterVM},
				Status: v1alpha1.ClusterStatus{Region: "hangzhou"},
			},
			"Name=vm Center=hz-a Region=hangzhou Type=VM Age=<unknown>",
		},
		{
			servicePolicies(), policy(v1alpha1.ServicePolicySpec{Service: "orders"}),
			"Name=p Service=orders Failover=Center>Region>Any Timeout=<none> Connect=<none> Age=<unknown>",
		},
		{
			servicePolicies(), policy(v1alpha1.ServicePolicySpec{
				Service: "orders",
				Failover: []v1alpha1.FailoverTier{
					{Centers: []string{"hz-a", "hz-b"}}, {Regions: []string{"shanghai"}}, {Scope: v1alpha1.ScopeAny},
				},
				Timeouts: &v1alpha1.Timeouts{Request: &metav1.Duration{Duration: 1500 * time.Millisecond}},
			}),
			"Name=p Service=orders Failover=center:hz-a,hz-b>region:shanghai>Any Timeout=1.5s Connect=<none> Age=<unknown>",
		},
	} {
		got, err := table{kind: c.kind}.ConvertToTable(t.Context(), c.obj, nil)
		if err != nil {
			t.Fatal(err)
		}
		var cells []string
		for i, cell := range got.Rows[0].Cells {
			cells = append(cells, fmt.Sprintf("%s=%v", got.ColumnDefinitions[i].Name, cell))
		}
		if row := strings.Join(cells, " "); row != c.want {
			t.Errorf("%s: %s\nwant %s", c.kind.name, row, c.want)
		}
	}
}

// TestEveryKindIsServed: a kind that the API types have and this room forgot would be unknown to kubectl.
func TestEveryKindIsServed(t *testing.T) {
	var served []string
	for _, kind := range kinds() {
		served = append(served, kind.name)
		if v1alpha1.KindOf(v1alpha1.New(kind.name)) != kind.name || kind.plural == "" || kind.singular == "" {
			t.Errorf("kind %+v is not whole", kind)
		}
		if set := kind.fieldSet(v1alpha1.New(kind.name)); !set.Has("metadata.name") {
			t.Errorf("%s: fields %v, want metadata.name", kind.name, set)
		}
	}
	if strings.Join(served, " ") != strings.Join(v1alpha1.Kinds(), " ") {
		t.Errorf("served %v, want %v", served, v1alpha1.Kinds())
	}
}
