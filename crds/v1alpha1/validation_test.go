package v1alpha1

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func center(name, region string, role CenterRole) *Center {
	return &Center{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: CenterSpec{Region: region, Role: role}}
}

func cluster(name, center string) *Cluster {
	return &Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: ClusterSpec{Center: center, Type: ClusterVM}}
}

func policy(service string, tiers ...FailoverTier) *ServicePolicy {
	return &ServicePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: ServicePolicySpec{Service: service,
		Failover: tiers}}
}

func withTimeouts(request, connect time.Duration) *ServicePolicy {
	p := policy("orders")
	p.Spec.Timeouts = &Timeouts{Request: &metav1.Duration{Duration: request}, Connect: &metav1.Duration{Duration: connect}}
	return p
}

// mistake is what a list must consist of: field, value, part of the message.
type mistake struct {
	field   string
	value   any
	message string
}

func expect(t *testing.T, errs field.ErrorList, want ...mistake) {
	t.Helper()
	if len(errs) != len(want) {
		t.Fatalf("%d mistakes, want %d: %v", len(errs), len(want), errs.ToAggregate())
	}
	for i, w := range want {
		got := errs[i]
		if got.Field != w.field || fmt.Sprint(got.BadValue) != fmt.Sprint(w.value) || !strings.Contains(got.Error(),
			w.message) {
			t.Errorf("mistake %v with value %v, want %s = %v: %s", got, got.BadValue, w.field, w.value, w.message)
		}
	}
}

func inPhase(phase CenterPhase) *Center {
	c := center("hz-a", "hangzhou", CenterFull)
	c.Spec.Phase = phase
	return c
}

func TestValidate(t *testing.T) {
	many := make([]FailoverTier, MaxFailoverTiers+1)
	for i := range many {
		many[i] = FailoverTier{Centers: []string{fmt.Sprint("c", i)}}
	}
	names := make([]string, MaxTierNames+1)
	for i := range names {
		names[i] = fmt.Sprint("r", i)
	}
	labelled := center("hz-a", "hangzhou", CenterFull)
	labelled.Labels = map[string]string{"a b": "c"}
	for name, c := range map[string]struct {
		object Object
		want   []mistake
	}{
		"full":    {center("hz-a", "hangzhou", CenterFull), nil},
		"arbiter": {center("sz-a", "shenzhen", CenterArbiter), nil},
		"no name": {center("", "hangzhou", CenterFull), []mistake{{"metadata.name", "",
			"name or generateName is required"}}},
		"name in capitals": {center("HZ", "hangzhou", CenterFull), []mistake{{"metadata.name", "HZ",
			"a lowercase RFC 1123 label"}}},
		"center name with dot": {center("hz.a", "hangzhou", CenterFull), []mistake{{"metadata.name", "hz.a", "dots"}}},
		"bad label key":        {labelled, []mistake{{"metadata.labels", "a b", "name part must consist of"}}},
		"no region": {center("a", "", CenterFull), []mistake{{"spec.region", "",
			`must be a DNS-1123 label, as in "hangzhou"`}}},
		"region in capitals": {center("a", "Hangzhou", CenterFull), []mistake{{"spec.region", "Hangzhou",
			"a lowercase RFC 1123 label"}}},
		"no role": {center("a", "b", ""), []mistake{{"spec.role", "", `supported values: "Full", "Arbiter"`}}},
		"unknown role": {center("a", "b", "Half"), []mistake{{"spec.role", "Half",
			`supported values: "Full", "Arbiter"`}}},
		"draining": {inPhase(CenterDraining), nil},
		"closed":   {inPhase(CenterClosed), nil},
		"unknown phase": {inPhase("Shut"), []mistake{{"spec.phase", "Shut",
			`supported values: "Open", "Draining", "Closed"`}}},
		"cluster": {cluster("vm", "hz-a"), nil},
		"no center": {cluster("vm", ""), []mistake{{"spec.center", "",
			`must be a DNS-1123 label, as in "hz-a"`}}},
		"no type": {&Cluster{ObjectMeta: metav1.ObjectMeta{Name: "vm"}, Spec: ClusterSpec{Center: "a"}},
			[]mistake{{"spec.type", "", `supported values: "VM"`}}},
		"policy":                {policy("orders"), nil},
		"policy of a subdomain": {policy("orders.shop"), nil},
		"no service": {policy(""), []mistake{{"spec.service", "",
			`must be a DNS-1123 subdomain, as in "orders"`}}},
		"bad service": {policy("orders!"), []mistake{{"spec.service", "orders!", "must consist of lower case"}}},
		"every kind of tier": {policy("orders", FailoverTier{Scope: ScopeCenter}, FailoverTier{Regions: []string{"a", "b"}},
			FailoverTier{Centers: []string{"a", "b"}}, FailoverTier{Scope: ScopeAny}), nil},
		"empty tier": {policy("orders", FailoverTier{}), []mistake{
			{"spec.failover[0]", FailoverTier{}, "exactly one of scope, regions and centers"}}},
		"two in a tier": {policy("orders", FailoverTier{Scope: ScopeAny}, FailoverTier{Scope: ScopeRegion,
			Regions: []string{"a"}}),
			[]mistake{{"spec.failover[1]", FailoverTier{Scope: ScopeRegion, Regions: []string{"a"}}, "exactly one of"}}},
		"unknown scope": {policy("orders", FailoverTier{Scope: "Planet"}), []mistake{
			{"spec.failover[0].scope", "Planet", `supported values: "Center", "Region", "Any"`}}},
		"scope twice": {policy("orders", FailoverTier{Scope: ScopeAny}, FailoverTier{Scope: ScopeAny}), []mistake{
			{"spec.failover[1].scope", "Any", "spec.failover[0].scope has it already"}}},
		"tier twice in another order": {policy("orders", FailoverTier{Centers: []string{"a", "b"}},
			FailoverTier{Centers: []string{"b", "a"}}),
			[]mistake{{"spec.failover[1].centers[0]", "b", "spec.failover[0].centers[1] has it already"},
				{"spec.failover[1].centers[1]", "a", "spec.failover[0].centers[0] has it already"}}},
		"name twice in a tier": {policy("orders", FailoverTier{Regions: []string{"a", "a"}}), []mistake{
			{"spec.failover[0].regions[1]", "a", "spec.failover[0].regions[0] has it already"}}},
		"region and center of one name": {policy("orders", FailoverTier{Regions: []string{"a"}},
			FailoverTier{Centers: []string{"a"}}), nil},
		"bad name in a tier": {policy("orders", FailoverTier{Centers: []string{"a", ""}}), []mistake{
			{"spec.failover[0].centers[1]", "", "must be a DNS-1123 label"}}},
		"16 tiers": {policy("orders", many[:MaxFailoverTiers]...), nil},
		"17 tiers": {policy("orders", many...), []mistake{{"spec.failover", 17, "must have at most 16 items"}}},
		"65 names": {policy("orders", FailoverTier{Regions: names}), []mistake{{"spec.failover[0].regions", 65,
			"must have at most 64 items"}}},
		"timeouts": {withTimeouts(time.Hour, time.Nanosecond), nil},
		"timeout of 0": {withTimeouts(0, time.Second), []mistake{{"spec.timeouts.request", "0s",
			"above 0s and at most 1h"}}},
		"negative timeout": {withTimeouts(time.Second, -time.Second), []mistake{{"spec.timeouts.connect", "-1s",
			"above 0s and at most 1h"}}},
		"timeout too long": {withTimeouts(time.Hour+1, time.Second), []mistake{{"spec.timeouts.request", time.Hour + 1,
			"above 0s and at most 1h"}}},
		"two at a time": {center("", "", CenterFull), []mistake{{"metadata.name", "", "required"}, {"spec.region", "",
			"label"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Validate(c.object), c.want...) })
	}
}

func TestValidateUpdateKeepsPlaces(t *testing.T) {
	expect(t, ValidateUpdate(center("a", "y", CenterFull), center("a", "x", CenterFull)), mistake{"spec.region", "y",
		`must stay "x"`})
	expect(t, ValidateUpdate(cluster("a", "y"), cluster("a", "x")), mistake{"spec.center", "y", `must stay "x"`})
	expect(t, ValidateUpdate(policy("y"), policy("x")), mistake{"spec.service", "y", `must stay "x"`})
	expect(t, ValidateUpdate(center("a", "x", CenterArbiter), center("a", "x", CenterFull)))
	expect(t, ValidateUpdate(policy("x", FailoverTier{Scope: ScopeAny}), policy("x")))
}

func TestDefaultIsDoneOnce(t *testing.T) {
	for object, want := range map[Object]Object{
		center("a", "b", ""):            open(center("a", "b", CenterFull)),
		center("a", "b", CenterArbiter): open(center("a", "b", CenterArbiter)),
		&Cluster{Spec: ClusterSpec{}}:   &Cluster{Spec: ClusterSpec{Type: ClusterVM}},
		policy("a"):                     policy("a"),
	} {
		for range 2 {
			Default(object)
			if !apiequality.Semantic.DeepEqual(object, want) {
				t.Errorf("defaulted to %+v, want %+v", object, want)
			}
		}
	}
}

func estate() declared {
	orders := policy("orders", FailoverTier{Scope: ScopeAny}, FailoverTier{Regions: []string{"shenzhen"},
		Centers: []string{"sh-a"}})
	orders.Name = "orders"
	return declared{
		centers: map[string]*Center{
			"hz-a": center("hz-a", "hangzhou", CenterFull), "hz-b": center("hz-b", "hangzhou", CenterFull),
			"sh-a": center("sh-a", "shanghai", CenterFull), "sz-a": center("sz-a", "shenzhen", CenterArbiter),
		},
		clusters: map[string]*Cluster{"hz-a-vm": cluster("hz-a-vm", "hz-a")},
		policies: map[string]*ServicePolicy{"orders": orders},
	}
}

func TestValidateReferences(t *testing.T) {
	for name, c := range map[string]struct {
		object Object
		want   []mistake
	}{
		"cluster": {cluster("vm", "hz-b"), nil},
		"unknown center": {cluster("vm", "hz-x"), []mistake{{"spec.center", "hz-x",
			"must be the name of a declared Center"}}},
		"arbiter": {cluster("vm", "sz-a"), []mistake{{"spec.center", "sz-a",
			"role Arbiter: a cluster must be in a Full center"}}},
		"center becomes arbiter": {center("hz-b", "hangzhou", CenterArbiter), nil},
		"center with clusters": {center("hz-a", "hangzhou", CenterArbiter), []mistake{{"spec.role", "Arbiter",
			`cluster "hz-a-vm" is in this center`}}},
		"policy": {policy("assets", FailoverTier{Centers: []string{"hz-a", "sz-a"}},
			FailoverTier{Regions: []string{"shanghai"}}),
			nil},
		"policy of a service that has one": {policy("orders"), []mistake{{"spec.service", "orders",
			`service policy "orders" is already`}}},
		"unknown in tiers": {policy("assets", FailoverTier{Centers: []string{"hz-a", "x"}},
			FailoverTier{Regions: []string{"y"}}),
			[]mistake{{"spec.failover[0].centers[1]", "x", "name of a declared Center"},
				{"spec.failover[1].regions[0]", "y", "region of a declared Center"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, ValidateReferences(c.object, nil, estate()), c.want...) })
	}
	same := policy("orders")
	same.Name = "orders"
	expect(t, ValidateReferences(same, same, estate()))
}

func TestValidateDelete(t *testing.T) {
	d := estate()
	expect(t, ValidateDelete(d.centers["hz-b"], d))
	expect(t, ValidateDelete(d.centers["hz-a"], d), mistake{"metadata.name", "hz-a",
		`cluster "hz-a-vm" is in this center`})
	expect(t, ValidateDelete(d.centers["sh-a"], d), mistake{"metadata.name", "sh-a",
		`"orders" names it in spec.failover[1].centers[0]`})
	expect(t, ValidateDelete(d.centers["sz-a"], d), mistake{"metadata.name", "sz-a", "spec.failover[1].regions[0]"})
	d.centers["sz-b"] = center("sz-b", "shenzhen", CenterFull)
	expect(t, ValidateDelete(d.centers["sz-a"], d))
	expect(t, ValidateDelete(policy("orders"), d))
}

func TestDerivedStatusIsTheOnlyValidOne(t *testing.T) {
	d := estate()
	for _, object := range []Object{center("a", "b", CenterFull), cluster("vm", "hz-a"), cluster("lost", "hz-x"),
		policy("x")} {
		object.SetGeneration(3)
		if errs := ValidateStatus(object, d); len(errs) == 0 {
			t.Errorf("%T: an empty status is valid at generation 3", object)
		}
		DeriveStatus(object, d)
		expect(t, ValidateStatus(object, d))
	}
	vm := cluster("vm", "hz-a")
	vm.Generation, vm.Status = 2, ClusterStatus{ObservedGeneration: 1, Region: "shanghai"}
	expect(t, ValidateStatus(vm, d), mistake{"status.observedGeneration", 1, "written by Pentad alone"},
		mistake{"status.region", "shanghai", `must be "hangzhou"`})
}

func TestEveryKindIsDispatched(t *testing.T) {
	for _, kind := range Kinds() {
		object := New(kind)
		if object == nil || KindOf(object) != kind {
			t.Fatalf("%s makes a %T of kind %q", kind, object, KindOf(object))
		}
		Default(object)
		if errs := Validate(object); len(errs) == 0 {
			t.Errorf("an empty %s is valid", kind)
		}
		other := New(kind)
		if !SpecEqual(other, New(kind)) || !StatusEqual(other, New(kind)) {
			t.Errorf("two empty %ss differ", kind)
		}
		object.SetGeneration(5)
		DeriveStatus(object, estate())
		happen(object)
		CopyStatus(other, object)
		CopySpec(other, object)
		if !SpecEqual(other, object) || !StatusEqual(other, object) || StatusEqual(other, New(kind)) {
			t.Errorf("%s is not copied: %+v", kind, other)
		}
	}
	if New("Nothing") != nil || SpecEqual(center("a", "b", ""), policy("x")) {
		t.Error("kinds are mixed up")
	}
}

// TestAnAbsentPhaseIsOpen: centers of before there were phases are stored without one. The API reads them with the
// default, the state machine as they are, and both must say that applying one again changes nothing.
func TestAnAbsentPhaseIsOpen(t *testing.T) {
	if !SpecEqual(inPhase(""), inPhase(CenterOpen)) || SpecEqual(inPhase(""), inPhase(CenterClosed)) {
		t.Error("an absent phase is not Open")
	}
	arbiter := center("sz-a", "shenzhen", CenterArbiter)
	for object, want := range map[*Center]bool{
		inPhase(""): true, inPhase(CenterOpen): true, inPhase(CenterDraining): false, inPhase(CenterClosed): false,
		arbiter: false,
	} {
		if object.Spec.TakesUnits() != want {
			t.Errorf("center %+v takes units: %v", object.Spec, !want)
		}
	}
}

func TestEmptyAndAbsentSpecsAreEqual(t *testing.T) {
	if !SpecEqual(policy("a"), policy("a", []FailoverTier{}...)) {
		t.Error("no failover and an empty failover differ")
	}
	if SpecEqual(policy("a"), withTimeouts(1, 1)) {
		t.Error("another service with timeouts is equal")
	}
}
