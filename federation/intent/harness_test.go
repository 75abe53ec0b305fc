package intent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// epoch is the incarnation that the tests' first commands begin.
const epoch = 1_800_000_000

// author writes commands as the API server does, from a seed.
type author struct {
	rnd *rand.Rand
	n   uint64
}

func newAuthor(seed uint64) *author { return &author{rnd: rand.New(rand.NewPCG(seed, 7))} }

func (a *author) id() []byte {
	id := make([]byte, IDSize)
	a.n++
	binary.BigEndian.PutUint64(id, a.n)
	binary.BigEndian.PutUint64(id[8:], a.rnd.Uint64())
	return id
}

func (a *author) uid() types.UID {
	var b uuid.UUID
	binary.BigEndian.PutUint64(b[:], a.rnd.Uint64())
	binary.BigEndian.PutUint64(b[8:], a.rnd.Uint64())
	return types.UID(b.String())
}

func (a *author) command() *intentpb.Command {
	return &intentpb.Command{Id: a.id(), ProposedAtUnixMs: epoch * 1000}
}

func (a *author) creation(kind, name string, value []byte) *intentpb.Command {
	c := a.command()
	c.Operation = &intentpb.Command_Create{Create: &intentpb.Create{Kind: kind, Name: name, Value: value}}
	return c
}

func (a *author) replacement(kind, name string, value []byte, expect uint64) *intentpb.Command {
	c := a.command()
	c.Operation = &intentpb.Command_Update{
		Update: &intentpb.Update{Kind: kind, Name: name, Value: value, ExpectRevision: expect},
	}
	return c
}

func (a *author) deletion(kind, name string, expect uint64) *intentpb.Command {
	c := a.command()
	c.Operation = &intentpb.Command_Delete{Delete: &intentpb.Delete{Kind: kind, Name: name, ExpectRevision: expect}}
	return c
}

// fresh sets what the API server sets when it creates.
func (a *author) fresh(object v1alpha1.Object, lookup v1alpha1.Lookup) v1alpha1.Object {
	object.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindOf(object)))
	object.SetUID(a.uid())
	object.SetGeneration(1)
	object.SetCreationTimestamp(metav1.NewTime(time.Unix(epoch, 0)))
	v1alpha1.Default(object)
	v1alpha1.DeriveStatus(object, lookup)
	return object
}

func center(name, region string, role v1alpha1.CenterRole) *v1alpha1.Center {
	c := &v1alpha1.Center{Spec: v1alpha1.CenterSpec{Region: region, Role: role}}
	c.Name = name
	return c
}

func cluster(name, center string) *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Center: center}}
	c.Name = name
	return c
}

func policy(name, service string, tiers ...v1alpha1.FailoverTier) *v1alpha1.ServicePolicy {
	p := &v1alpha1.ServicePolicy{Spec: v1alpha1.ServicePolicySpec{Service: service, Failover: tiers}}
	p.Name = name
	return p
}

func toJSON(object any) []byte {
	b, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return b
}

// typed decodes what is stored.
func typed(object *Object) v1alpha1.Object {
	d, errs := decodeValue(object.Kind, object.Value)
	if len(errs) > 0 {
		panic(errs.ToAggregate())
	}
	return d
}

func encode(c *intentpb.Command) []byte {
	b, err := Encode(c)
	if err != nil {
		panic(err)
	}
	return b
}

func save(f *FSM) []byte {
	s, err := f.Snapshot()
	if err != nil {
		panic(err)
	}
	defer s.Release()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		panic(fmt.Sprintf("snapshot of %d bytes says %d, %v", b.Len(), n, err))
	}
	return b.Bytes()
}

func mustNew(config Config) *FSM {
	f, err := New(config)
	if err != nil {
		panic(err)
	}
	return f
}

// estate is an FSM at the other end of a log, with an author.
type estate struct {
	t *testing.T
	*FSM
	*author
	index uint64
}

func newEstate(t *testing.T, config Config) *estate {
	t.Helper()
	return &estate{t: t, FSM: mustNew(config), author: newAuthor(1)}
}

func (e *estate) do(c *intentpb.Command) Result {
	e.t.Helper()
	e.index++
	r, err := DecodeResult(e.Apply(e.index, encode(c)))
	if err != nil {
		e.t.Fatal(err)
	}
	return r
}

// must applies a command that has to be accepted.
func (e *estate) must(c *intentpb.Command) Result {
	e.t.Helper()
	r := e.do(c)
	if !r.OK {
		e.t.Fatalf("not accepted: %+v: %v", r, r.Errors().ToAggregate())
	}
	return r
}

// add creates an object as the API server would.
func (e *estate) add(object v1alpha1.Object) Result {
	e.t.Helper()
	value := toJSON(e.fresh(object, e.View().Lookup()))
	return e.must(e.creation(v1alpha1.KindOf(object), object.GetName(), value))
}

// change reads an object and gives its copy to fn; what fn leaves is proposed as it is.
func (e *estate) change(kind, name string, fn func(v1alpha1.Object)) *intentpb.Command {
	e.t.Helper()
	stored, ok := e.View().Get(kind, name)
	if !ok {
		e.t.Fatalf("%s %q is not there", kind, name)
	}
	object := typed(stored)
	fn(object)
	return e.replacement(kind, name, toJSON(object), stored.Revision)
}

// edit is change, with what the API server does to generation and status.
func (e *estate) edit(kind, name string, fn func(v1alpha1.Object)) *intentpb.Command {
	e.t.Helper()
	return e.change(kind, name, func(object v1alpha1.Object) {
		old := object.DeepCopyObject().(v1alpha1.Object)
		fn(object)
		prepare(object, old, e.View().Lookup())
	})
}

func prepare(object, old v1alpha1.Object, lookup v1alpha1.Lookup) {
	if !v1alpha1.SpecEqual(object, old) {
		object.SetGeneration(old.GetGeneration() + 1)
	}
	v1alpha1.DeriveStatus(object, lookup)
}

func (e *estate) remove(kind, name string) *intentpb.Command {
	e.t.Helper()
	stored, ok := e.View().Get(kind, name)
	if !ok {
		e.t.Fatalf("%s %q is not there", kind, name)
	}
	return e.deletion(kind, name, stored.Revision)
}
