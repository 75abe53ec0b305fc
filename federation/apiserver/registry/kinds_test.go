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
			"Name=vm Center=hz-a Region=hangzhou Type=VM Expired=False Keep For=24h0m0s Age=<unknown>",
		},
		{
			clusters(), &v1alpha1.Cluster{
				ObjectMeta: metav1.ObjectMeta{Name: "vm"},
				Spec: v1alpha1.ClusterSpec{
					Center: "hz-a", Type: v1alpha1.ClusterVM, OnSilence: &v1alpha1.OnSilence{KeepFor: "never"},
				},
				Status: v1alpha1.ClusterStatus{Conditions: []metav1.Condition{{
					Type: v1alpha1.ConditionExpired, Status: metav1.ConditionTrue,
				}}},
			},
			"Name=vm Center=hz-a Region= Type=VM Expired=True Keep For=never Age=<unknown>",
		},
		{
			estates(), &v1alpha1.Estate{ObjectMeta: metav1.ObjectMeta{Name: "estate"}},
			"Name=estate Stopped=false Max=50% Held=False Message=<none> Age=<unknown>",
		},
		{
			estates(), &v1alpha1.Estate{
				ObjectMeta: metav1.ObjectMeta{Name: "estate"},
				Spec:       v1alpha1.EstateSpec{Withdrawals: v1alpha1.Withdrawals{Stopped: true, MaxClusters: new(int32(3))}},
				Status: v1alpha1.EstateStatus{Conditions: []metav1.Condition{{
					Type: v1alpha1.ConditionWithdrawalsHeld, Status: metav1.ConditionTrue, Message: "why",
				}}},
			},
			"Name=estate Stopped=true Max=3,50% Held=True Message=why Age=<unknown>",
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
		{
			stores(), &v1alpha1.Store{ObjectMeta: metav1.ObjectMeta{Name: "new"}, Spec: v1alpha1.StoreSpec{
				Primary: "sh-a", Members: []v1alpha1.StoreMember{{Center: "hz-a"}, {Center: "sh-a"}},
				Replication: v1alpha1.ReplicationSynchronous,
			}},
			"Name=new Primary=<none> State=<none> Token=<none> Replication=Synchronous Switchover=<none> " +
				"Members=sh-a,hz-a Permit=false Age=<unknown>",
		},
		{
			stores(), &v1alpha1.Store{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: v1alpha1.StoreSpec{
				Primary: "sh-a", Replication: v1alpha1.ReplicationAsynchronous, HoldsPermit: true,
			}, Status: v1alpha1.StoreStatus{Primary: "hz-a", State: v1alpha1.StoreClosed, Token: "7", Switchover: "x"}},
			"Name=s Primary=hz-a State=Closed Token=7 Replication=Asynchronous Switchover=x Members=sh-a Permit=true " +
				"Age=<unknown>",
		},
		{
			unitizations(), &v1alpha1.Unitization{ObjectMeta: metav1.ObjectMeta{Name: "users"}},
			"Name=users Shards=0 Epoch=<none> Units=<none> Frozen=<none> Switchover=<none> Isolation= Services=<none> " +
				"Age=<unknown>",
		},
		{
			unitizations(), frozenUsers(),
			"Name=users Shards=100 Epoch=9 Units=rz01,rz02,rz03,rz04,rz05,... (6) Frozen=0-24,50 Switchover=x,y " +
				"Isolation=Keep Services=orders Age=<unknown>",
		},
		{
			switchovers(), switchover(v1alpha1.SwitchoverSpec{ReturnToBaseline: true}, v1alpha1.SwitchoverStatus{}),
			"Name=s Mode=Planned Phase=<none> Moves=to the baseline Plan=<none> Message=<none> Approver=<none> Age=<unknown>",
		},
		{
			switchovers(), switchover(v1alpha1.SwitchoverSpec{Evacuate: &v1alpha1.Evacuation{Center: "hz-a"}},
				v1alpha1.SwitchoverStatus{
					Phase: v1alpha1.PhaseFencing, PlanHash: "0123456789abcdef", Message: "waits", ApprovedBy: "me",
				}),
			"Name=s Mode=Planned Phase=Fencing Moves=out of center hz-a Plan=0123456789ab Message=waits Approver=me " +
				"Age=<unknown>",
		},
		{
			switchovers(), switchover(v1alpha1.SwitchoverSpec{Moves: []v1alpha1.Move{
				{Unit: "rz01", ToCenters: []string{"sh-a", "sh-b"}}, {Unit: "rz02", ToUnit: "rz03", ToCenters: []string{"sz-a"}},
			}}, v1alpha1.SwitchoverStatus{}),
			"Name=s Mode=Planned Phase=<none> Moves=rz01>sh-a+sh-b,rz02>rz03>sz-a Plan=<none> Message=<none> " +
				"Approver=<none> Age=<unknown>",
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

func switchover(spec v1alpha1.SwitchoverSpec, status v1alpha1.SwitchoverStatus) *v1alpha1.Switchover {
	spec.Mode = v1alpha1.SwitchoverPlanned
	return &v1alpha1.Switchover{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: spec, Status: status}
}

// frozenUsers are six units, of whose shards two switchovers move some.
func frozenUsers() *v1alpha1.Unitization {
	u := &v1alpha1.Unitization{ObjectMeta: metav1.ObjectMeta{Name: "users"}, Spec: v1alpha1.UnitizationSpec{
		Shards: 100, Isolation: v1alpha1.IsolationKeep, Services: []v1alpha1.ServiceBinding{{Name: "orders"}},
	}, Status: v1alpha1.UnitizationStatus{Epoch: "9"}}
	for i := range 6 {
		u.Spec.Units = append(u.Spec.Units, v1alpha1.Unit{Name: fmt.Sprintf("rz%02d", i+1)})
	}
	for _, r := range []struct {
		from, to int32
		state    v1alpha1.RangeState
		by       string
	}{{0, 24, "Frozen", "x"}, {25, 49, "Open", "x"}, {50, 50, "Frozen", "y"}, {51, 99, "Open", ""}} {
		u.Status.Ranges = append(u.Status.Ranges, v1alpha1.OwnedRange{
			ShardRange: v1alpha1.ShardRange{From: r.from, To: r.to}, State: r.state, Switchover: r.by,
		})
	}
	return u
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
