package intent

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// refusal is a command that must be refused with exactly one mistake.
type refusal struct {
	name string
	// propose is asked on a populated estate.
	propose func(e *estate) *intentpb.Command
	// field, value (JSON) and part of the message.
	field, value, message string
}

// populated has Full centers hz-a and sh-a, an Arbiter sz-a, a cluster in hz-a, a policy for orders that names sh-a and
// region shenzhen, and a center hz-f that has a finalizer.
func populated(t *testing.T) *estate {
	e := newEstate(t, Config{})
	e.add(center("hz-a", "hangzhou", v1alpha1.CenterFull))
	e.add(center("sh-a", "shanghai", v1alpha1.CenterFull))
	e.add(center("sz-a", "shenzhen", v1alpha1.CenterArbiter))
	held := center("hz-f", "hangzhou", v1alpha1.CenterFull)
	held.Finalizers = []string{"example.com/hold"}
	e.add(held)
	e.add(cluster("hz-a-vm", "hz-a"))
	e.add(policy("orders", "orders",
		v1alpha1.FailoverTier{Centers: []string{"sh-a"}}, v1alpha1.FailoverTier{Regions: []string{"shenzhen"}}))
	return e
}

// creating proposes an object, after fn broke what the API server made of it.
func creating(object v1alpha1.Object, fn func(v1alpha1.Object)) func(*estate) *intentpb.Command {
	return func(e *estate) *intentpb.Command {
		object := e.fresh(object.DeepCopyObject().(v1alpha1.Object), e.View().Lookup())
		name := object.GetName()
		fn(object)
		return e.creation(v1alpha1.KindOf(object), name, toJSON(object))
	}
}

// creatingRaw is creating with a replacement in the JSON.
func creatingRaw(object v1alpha1.Object, old, replacement string) func(*estate) *intentpb.Command {
	return func(e *estate) *intentpb.Command {
		object := e.fresh(object.DeepCopyObject().(v1alpha1.Object), e.View().Lookup())
		value := toJSON(object)
		if !bytes.Contains(value, []byte(old)) {
			e.t.Fatalf("%s is not in %s", old, value)
		}
		value = bytes.Replace(value, []byte(old), []byte(replacement), 1)
		return e.creation(v1alpha1.KindOf(object), object.GetName(), value)
	}
}

func changing(kind, name string, fn func(v1alpha1.Object)) func(*estate) *intentpb.Command {
	return func(e *estate) *intentpb.Command { return e.change(kind, name, fn) }
}

func editing(kind, name string, fn func(v1alpha1.Object)) func(*estate) *intentpb.Command {
	return func(e *estate) *intentpb.Command { return e.edit(kind, name, fn) }
}

func removing(kind, name string) func(*estate) *intentpb.Command {
	return func(e *estate) *intentpb.Command { return e.remove(kind, name) }
}

func at(second int64) *metav1.Time {
	t := metav1.NewTime(time.Unix(second, 0).UTC())
	return &t
}

func refusalTable() []refusal {
	full := center("hz-b", "hangzhou", v1alpha1.CenterFull)
	vm := cluster("hz-b-vm", "hz-a")
	assets := policy("assets", "assets")
	none := func(v1alpha1.Object) {}
	return append([]refusal{
		{"not JSON", func(e *estate) *intentpb.Command { return e.creation("Center", "x", []byte("{")) },
			"$", `"{"`, "must be a JSON object"},
		{"no object", func(e *estate) *intentpb.Command { return e.creation("Center", "x", []byte("[]")) },
			"$", `"[]"`, "must be a JSON object"},
		{"unknown field", creatingRaw(full, `"region"`, `"color":"red","region"`), "spec.color", `"red"`, "unknown field"},
		{"field without a name", creatingRaw(full, `"spec"`, `"":"x","spec"`), "$", "", "unknown field"},
		{"field of another case", creatingRaw(full, `"region"`, `"Region":"x","region"`), "spec.Region", `"x"`,
			"unknown field"},
		{"repeated field", creatingRaw(full, `"region"`, `"region":"x","region"`), "spec.region", `"hangzhou"`,
			"duplicate field"},
		{"field of another type", creatingRaw(full, `"region":"hangzhou"`, `"region":7`), "spec.region", "7",
			"of type string"},

		{"another API version", creating(full, func(o v1alpha1.Object) {
			o.(*v1alpha1.Center).APIVersion = "pentad.dev/v2"
		}), "apiVersion", `"pentad.dev/v2"`, `must be "pentad.dev/v1alpha1"`},
		{"another kind", creating(full, func(o v1alpha1.Object) { o.(*v1alpha1.Center).Kind = "Cluster" }),
			"kind", `"Cluster"`, `must be "Center"`},
		{"another name", creating(full, func(o v1alpha1.Object) { o.SetName("hz-c") }),
			"metadata.name", `"hz-c"`, `must be "hz-b"`},
		{"a namespace", creating(full, func(o v1alpha1.Object) { o.SetNamespace("default") }),
			"metadata.namespace", `"default"`, "must not be set"},

		{"uid missing", creating(full, func(o v1alpha1.Object) { o.SetUID("") }), "metadata.uid", `""`, "must be a UUID"},
		{"uid of another form", creating(full, func(o v1alpha1.Object) { o.SetUID("{urn}") }),
			"metadata.uid", `"{urn}"`, "must be a UUID"},
		{"resourceVersion in a creation", creating(full, func(o v1alpha1.Object) { o.SetResourceVersion("7") }),
			"metadata.resourceVersion", `"7"`, "must not be set"},
		{"selfLink", creating(full, func(o v1alpha1.Object) { o.SetSelfLink("/x") }), "metadata.selfLink", `"/x"`,
			"must not be set"},
		{"creationTimestamp missing", creating(full, func(o v1alpha1.Object) { o.SetCreationTimestamp(metav1.Time{}) }),
			"metadata.creationTimestamp", `""`, "must be set"},
		{"born deleted", creating(full, func(o v1alpha1.Object) { o.SetDeletionTimestamp(at(epoch)) }),
			"metadata.deletionTimestamp", `"2027-01-15T08:00:00Z"`, "must not be set"},
		{"born with a grace period", creating(full, func(o v1alpha1.Object) { o.SetDeletionGracePeriodSeconds(new(int64)) }),
			"metadata.deletionGracePeriodSeconds", "0", "must not be set"},
		{"status of a Center in a creation", creating(full, func(o v1alpha1.Object) {
			o.(*v1alpha1.Center).Status.ObservedGeneration = 9
		}), "status.observedGeneration", "9", "must be the object's generation"},
		{"status of a Cluster in a creation", creating(vm, func(o v1alpha1.Object) {
			o.(*v1alpha1.Cluster).Status.Region = "shanghai"
		}), "status.region", `"shanghai"`, `must be "hangzhou"`},

		{"uid changed", changing("Center", "hz-a",
			func(o v1alpha1.Object) { o.SetUID("11111111-1111-1111-1111-111111111111") }),
			"metadata.uid", `"11111111-1111-1111-1111-111111111111"`, `must be "`},
		{"resourceVersion in an update", changing("Center", "hz-a", func(o v1alpha1.Object) { o.SetResourceVersion("7") }),
			"metadata.resourceVersion", `"7"`, "must not be set"},
		{"creationTimestamp changed", changing("Center", "hz-a",
			func(o v1alpha1.Object) { o.SetCreationTimestamp(*at(epoch + 1)) }),
			"metadata.creationTimestamp", `"2027-01-15T08:00:01Z"`, "must stay 2027-01-15T08:00:00Z"},
		{"generation moved alone", changing("Center", "hz-a", func(o v1alpha1.Object) {
			o.SetGeneration(2)
			o.(*v1alpha1.Center).Status.ObservedGeneration = 2
		}), "metadata.generation", "2", "must be 1: the spec is the same"},
		{"generation stayed", changing("Center", "sz-a", func(o v1alpha1.Object) {
			o.(*v1alpha1.Center).Spec.Role = v1alpha1.CenterFull
		}), "metadata.generation", "1", "must be 2: the spec is another"},
		{"status changed", changing("ServicePolicy", "orders", func(o v1alpha1.Object) {
			o.(*v1alpha1.ServicePolicy).Status.ObservedGeneration = 5
		}), "status.observedGeneration", "5", "must be the object's generation"},
		{"deletion without finalizers", changing("Center", "hz-a", func(o v1alpha1.Object) {
			o.SetDeletionTimestamp(at(epoch))
			o.SetGeneration(2)
		}), "metadata.deletionTimestamp", `"2027-01-15T08:00:00Z"`, "finalizers"},
		{"deletion without a new generation", changing("Center", "hz-f", func(o v1alpha1.Object) {
			o.SetDeletionTimestamp(at(epoch))
		}), "metadata.generation", "1", "must be 2: the deletion begins"},
		{"grace period alone", changing("Center", "hz-f", func(o v1alpha1.Object) {
			o.SetDeletionGracePeriodSeconds(new(int64))
		}), "metadata.deletionGracePeriodSeconds", "0", "must stay"},

		{"region missing", creatingRaw(full, `"region":"hangzhou"`, `"region":""`), "spec.region", `""`, "DNS-1123 label"},
		{"role of another name", creatingRaw(full, `"Full"`, `"Half"`), "spec.role", `"Half"`, `"Full"`},
		{"region moved", editing("Center", "hz-a", func(o v1alpha1.Object) {
			o.(*v1alpha1.Center).Spec.Region = "beijing"
		}), "spec.region", `"beijing"`, `must stay "hangzhou"`},
		{"service moved", editing("ServicePolicy", "orders", func(o v1alpha1.Object) {
			o.(*v1alpha1.ServicePolicy).Spec.Service = "assets"
		}), "spec.service", `"assets"`, `must stay "orders"`},
		{"name that is no label", creating(center("hz.b", "hangzhou", ""), none), "metadata.name", `"hz.b"`,
			"must not contain dots"},
		{"role left out", creatingRaw(full, `,"role":"Full"`, ``), "spec.role", `""`, `"Full"`},

		{"unknown center", creating(cluster("x", "hz-x"), none), "spec.center", `"hz-x"`,
			"must be the name of a declared Center"},
		{"cluster in an Arbiter", creating(cluster("x", "sz-a"), none), "spec.center", `"sz-a"`, "must be in a Full center"},
		{"Arbiter with a cluster", editing("Center", "hz-a", func(o v1alpha1.Object) {
			o.(*v1alpha1.Center).Spec.Role = v1alpha1.CenterArbiter
		}), "spec.role", `"Arbiter"`, `"hz-a-vm"`},
		{"second policy", creating(policy("orders-2", "orders"), none), "spec.service", `"orders"`, `"orders" is already`},
		{"tier of an unknown center", creating(policy("a", "a", v1alpha1.FailoverTier{Scope: v1alpha1.ScopeCenter},
			v1alpha1.FailoverTier{Centers: []string{"hz-a", "hz-x"}}), none),
			"spec.failover[1].centers[1]", `"hz-x"`, "must be the name of a declared Center"},
		{"tier of an unknown region", creating(policy("a", "a", v1alpha1.FailoverTier{Regions: []string{"beijing"}}), none),
			"spec.failover[0].regions[0]", `"beijing"`, "must be the region of a declared Center"},
		{"update to an unknown center", editing("ServicePolicy", "orders", func(o v1alpha1.Object) {
			o.(*v1alpha1.ServicePolicy).Spec.Failover[0].Centers[0] = "sh-x"
		}), "spec.failover[0].centers[0]", `"sh-x"`, "must be the name of a declared Center"},
		{"delete a center with clusters", removing("Center", "hz-a"), "metadata.name", `"hz-a"`, `"hz-a-vm"`},
		{"delete a center that a policy names", removing("Center", "sh-a"),
			"metadata.name", `"sh-a"`, `"orders" names it in spec.failover[0].centers[0]`},
		{"delete the last center of a region that a policy names", removing("Center", "sz-a"),
			"metadata.name", `"sz-a"`, `"orders" names it in spec.failover[1].regions[0]`},
	}, generations(assets)...)
}

// generations other than 1 in a creation.
func generations(object v1alpha1.Object) []refusal {
	var out []refusal
	for _, g := range []int64{2, 0} {
		value, _ := json.Marshal(g)
		out = append(out, refusal{"generation " + string(value) + " in a creation", creating(object, func(o v1alpha1.Object) {
			o.SetGeneration(g)
			o.(*v1alpha1.ServicePolicy).Status.ObservedGeneration = g
		}), "metadata.generation", string(value), "must be 1"})
	}
	return out
}

func TestRefusals(t *testing.T) {
	for _, c := range refusalTable() {
		t.Run(c.name, func(t *testing.T) {
			e := populated(t)
			before, revision := e.Feed().Position(), e.Revision()
			r := e.do(c.propose(e))
			if r.OK || len(r.Refused) != 1 {
				t.Fatalf("result is %+v, want one refusal", r)
			}
			got := r.Refused[0]
			if got.Field != c.field || !sameValue(got.Value, c.value) || !strings.Contains(got.Message, c.message) &&
				!strings.Contains(r.Errors()[0].Error(), c.message) {
				t.Errorf("refused %s = %s: %s\nwant %s = %s: %s", got.Field, got.Value, got.Message, c.field, c.value, c.message)
			}
			if len(r.Errors()) != 1 || r.Errors()[0].Field != c.field || string(r.Errors()[0].Type) != got.Type {
				t.Errorf("as the API machinery has it: %v", r.Errors())
			}
			if e.Revision() != revision || e.Feed().Position() != before {
				t.Errorf("the refused command moved the state to %d, the feed to %s", e.Revision(), e.Feed().Position())
			}
		})
	}
}

func sameValue(got, want string) bool { return got == want }

func TestEveryMistakeIsNamed(t *testing.T) {
	e := populated(t)
	r := e.do(creating(cluster("x", "sz-a"), func(o v1alpha1.Object) {
		o.SetUID("")
		o.SetGeneration(3)
		o.(*v1alpha1.Cluster).Spec.Type = "Mainframe"
	})(e))
	want := []string{"metadata.uid", "metadata.generation", "status.observedGeneration", "spec.type", "spec.center"}
	var got []string
	for _, refused := range r.Refused {
		got = append(got, refused.Field)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("refused %v, want %v", got, want)
	}
}

func TestLongValuesAreClipped(t *testing.T) {
	e := newEstate(t, Config{})
	r := e.do(creating(center("a", strings.Repeat("r", MaxValue/2), ""), func(v1alpha1.Object) {})(e))
	if len(r.Refused) == 0 {
		t.Fatal("accepted")
	}
	for _, refused := range r.Refused {
		if len(refused.Value) > maxRefusalText+16 || len(refused.Message) > maxRefusalText+16 {
			t.Errorf("%s: a value of %d and a message of %d bytes", refused.Field, len(refused.Value), len(refused.Message))
		}
	}
}

func TestDeletionWithFinalizers(t *testing.T) {
	e := populated(t)
	e.must(e.change("Center", "hz-f", func(o v1alpha1.Object) { // the generic registry runs no strategy here: status stays
		o.SetDeletionTimestamp(at(epoch + 5))
		o.SetDeletionGracePeriodSeconds(new(int64))
		o.SetGeneration(2)
	}))
	back := e.do(e.change("Center", "hz-f", func(o v1alpha1.Object) {
		o.SetDeletionTimestamp(nil)
		o.SetDeletionGracePeriodSeconds(nil)
		o.(*v1alpha1.Center).Status.ObservedGeneration = 2
	}))
	if len(back.Refused) != 2 || back.Refused[0].Field != "metadata.deletionTimestamp" ||
		back.Refused[1].Field != "metadata.deletionGracePeriodSeconds" {
		t.Errorf("taking the deletion back: %+v", back)
	}
	e.must(e.edit("Center", "hz-f", func(o v1alpha1.Object) { o.SetFinalizers(nil) }))
	e.must(e.remove("Center", "hz-f"))
}

func TestWhatIsNotTheSystemsMayChange(t *testing.T) {
	e := populated(t)
	e.must(e.edit("Cluster", "hz-a-vm", func(o v1alpha1.Object) {
		o.SetLabels(map[string]string{"tier": "gold"})
		o.SetAnnotations(map[string]string{"note": "x"})
		o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply,
			APIVersion: "pentad.dev/v1alpha1", FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:center":{}}}`)}})
		o.SetFinalizers([]string{"example.com/hold"})
	}))
	e.must(e.edit("Center", "sz-a", func(o v1alpha1.Object) { o.(*v1alpha1.Center).Spec.Role = v1alpha1.CenterFull }))
	e.must(e.edit("ServicePolicy", "orders", func(o v1alpha1.Object) { o.(*v1alpha1.ServicePolicy).Spec.Failover = nil }))
	e.must(e.remove("Center", "sz-a"))
	e.must(e.remove("Cluster", "hz-a-vm"))
	e.must(e.remove("Center", "hz-a"))
}
