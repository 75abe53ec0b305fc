package storage

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"

	"pentad.dev/pentad/crds/v1alpha1"
)

// newStores is the Storage of the kind Store, with a center and a cluster that a store can be in.
func newStores(t *testing.T) *Storage {
	t.Helper()
	backend := newReplica(t)
	create(t, newCenters(t, backend), "hz-a")
	vm := &v1alpha1.Cluster{
		ObjectMeta: metadata("hz-a-vm"), Spec: v1alpha1.ClusterSpec{Center: "hz-a", Type: v1alpha1.ClusterVM},
		Status: v1alpha1.ClusterStatus{ObservedGeneration: 1, Region: "hangzhou"},
	}
	clusters := newKind(t, backend, v1alpha1.KindCluster)
	if err := clusters.Create(t.Context(), clusters.prefix+"hz-a-vm", vm, nil, 0); err != nil {
		t.Fatal(err)
	}
	return newKind(t, backend, v1alpha1.KindStore)
}

func newKind(t *testing.T, b Backend, kind string) *Storage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	plural := strings.ToLower(kind) + "s"
	prefix := "/pentad.dev/" + plural + "/"
	s, err := New(Config{
		State:     Intent{Backend: b, Kind: kind, Prefix: prefix, Resource: v1alpha1.GroupVersion.WithResource(plural)},
		Codec:     serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.GroupVersion),
		NewObject: func() runtime.Object { return v1alpha1.New(kind) }, Prefix: prefix,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func metadata(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, UID: types.UID(uuid.NewString()), Generation: 1, CreationTimestamp: metav1.Now()}
}

// declare creates a store, and gives the answer.
func declare(t *testing.T, s *Storage) *v1alpha1.Store {
	t.Helper()
	store := &v1alpha1.Store{ObjectMeta: metadata("orders"), Spec: v1alpha1.StoreSpec{
		Primary: "hz-a",
		Members: []v1alpha1.StoreMember{{
			Center: "hz-a", Cluster: "hz-a-vm", Webhook: &v1alpha1.WebhookDriver{URL: "http://a/fence"},
		}},
	}}
	v1alpha1.Default(store)
	out := &v1alpha1.Store{}
	if err := s.Create(t.Context(), s.prefix+"orders", store, out, 0); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAWriteAnswersWithWhatWasMadeOfIt: the state machine adds the status, which the caller would read a moment later.
func TestAWriteAnswersWithWhatWasMadeOfIt(t *testing.T) {
	s := newStores(t)
	made, read := declare(t, s), &v1alpha1.Store{}
	if err := s.Get(t.Context(), s.prefix+"orders", storage.GetOptions{}, read); err != nil {
		t.Fatal(err)
	}
	if made.Status.Primary != "hz-a" || !v1alpha1.StatusEqual(made, read) || made.ResourceVersion != read.ResourceVersion {
		t.Errorf("answered %+v, read %+v", made, read)
	}
	planted := newStores(t)
	planted.planted.sentAnswer = true
	if made := declare(t, planted); made.Status.Primary != "" {
		t.Error("an answer of what was sent is not found")
	}
}

// renewed says whether an update that changes nothing made a new revision.
func renewed(t *testing.T, s *Storage) bool {
	t.Helper()
	made, out := declare(t, s), &v1alpha1.Store{}
	err := s.GuaranteedUpdate(t.Context(), s.prefix+"orders", out, false, nil,
		storage.SimpleUpdate(func(obj runtime.Object) (runtime.Object, error) { return obj, nil }), nil)
	if err != nil {
		t.Fatal(err)
	}
	return out.ResourceVersion != made.ResourceVersion
}

// TestAnUpdateThatChangesNothingIsNotWritten: also where the state machine wrote a part of what is stored.
func TestAnUpdateThatChangesNothingIsNotWritten(t *testing.T) {
	if renewed(t, newStores(t)) {
		t.Error("an update that changes nothing was written")
	}
}
