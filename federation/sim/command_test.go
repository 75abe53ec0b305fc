package sim

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// author writes commands as the API of a server does. Its clock may be wrong.
type author struct {
	rnd  *rand.Rand
	skew func() time.Duration
}

func (a author) command() *intentpb.Command {
	id := make([]byte, intent.IDSize)
	binary.BigEndian.PutUint64(id, a.rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], a.rnd.Uint64())
	return &intentpb.Command{Id: id, ProposedAtUnixMs: time.Now().Add(a.skew()).UnixMilli()}
}

func (a author) create(object v1alpha1.Object, lookup v1alpha1.Lookup) *intentpb.Command {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], a.rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], a.rnd.Uint64())
	kind := v1alpha1.KindOf(object)
	object.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	object.SetUID(types.UID(id.String()))
	object.SetGeneration(1)
	object.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	v1alpha1.Default(object)
	v1alpha1.DeriveStatus(object, lookup)
	c := a.command()
	c.Operation = &intentpb.Command_Create{Create: &intentpb.Create{Kind: kind, Name: object.GetName(), Value: toJSON(object)}}
	return c
}

func (a author) update(object v1alpha1.Object, expect uint64) *intentpb.Command {
	c := a.command()
	c.Operation = &intentpb.Command_Update{Update: &intentpb.Update{
		Kind: v1alpha1.KindOf(object), Name: object.GetName(), Value: toJSON(object), ExpectRevision: expect,
	}}
	return c
}

func (a author) remove(kind, name string, expect uint64) *intentpb.Command {
	c := a.command()
	c.Operation = &intentpb.Command_Delete{Delete: &intentpb.Delete{Kind: kind, Name: name, ExpectRevision: expect}}
	return c
}

func toJSON(object any) []byte {
	b, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return b
}
