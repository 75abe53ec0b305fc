package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

const centersPrefix = "/pentad.dev/centers/"

// newCenters is the Storage of the kind Center as the server makes it, but for its patience.
func newCenters(t testing.TB, b Backend) *Storage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		State: Intent{
			Backend: b, Kind: v1alpha1.KindCenter, Prefix: centersPrefix,
			Resource: v1alpha1.GroupVersion.WithResource("centers"),
		},
		Codec:         serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.GroupVersion),
		NewObject:     func() runtime.Object { return &v1alpha1.Center{} },
		Prefix:        centersPrefix,
		BookmarkEvery: 50 * time.Millisecond,
		ReachPatience: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// prepared is a center as the registry hands it to the storage.
func prepared(name string) *v1alpha1.Center {
	return &v1alpha1.Center{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(uuid.NewString()), Generation: 1, CreationTimestamp: metav1.Now(),
		},
		Spec:   v1alpha1.CenterSpec{Region: "hangzhou", Role: v1alpha1.CenterFull},
		Status: v1alpha1.CenterStatus{ObservedGeneration: 1},
	}
}

func create(t testing.TB, s *Storage, name string) *v1alpha1.Center {
	t.Helper()
	out := &v1alpha1.Center{}
	if err := s.Create(t.Context(), centersPrefix+name, prepared(name), out, 0); err != nil {
		t.Fatal(err)
	}
	return out
}

// relabel updates a center by the compare-and-swap loop.
func relabel(ctx context.Context, s *Storage, name, value string) error {
	return s.GuaranteedUpdate(ctx, centersPrefix+name, &v1alpha1.Center{}, false, nil,
		storage.SimpleUpdate(func(obj runtime.Object) (runtime.Object, error) {
			center := obj.(*v1alpha1.Center)
			center.Labels = map[string]string{"x": value}
			return center, nil
		}), nil)
}

func TestListIsPagedAsOfTheFirstPage(t *testing.T) {
	s := newCenters(t, newReplica(t))
	for n := range 10 {
		create(t, s, fmt.Sprintf("c-%d", n))
	}
	var seen []string
	opts := storage.ListOptions{Recursive: true, Predicate: storage.Everything}
	opts.Predicate.Limit = 3
	for page := 0; ; page++ {
		list := &v1alpha1.CenterList{}
		if err := s.GetList(t.Context(), centersPrefix, opts, list); err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Items {
			seen = append(seen, c.Name)
		}
		if want := int64(10 - 3*(page+1)); want > 0 && (list.RemainingItemCount == nil || *list.RemainingItemCount != want) {
			t.Errorf("page %d: remaining %v, want %d", page, list.RemainingItemCount, want)
		}
		if page == 0 { // what changes between pages is not in the list
			create(t, s, "c-9z")
			if err := s.Delete(t.Context(), centersPrefix+"c-8", &v1alpha1.Center{}, nil, storage.ValidateAllObjectFunc, nil,
				storage.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if opts.Predicate.Continue = list.Continue; list.Continue == "" {
			break
		}
	}
	if want := "c-0 c-1 c-2 c-3 c-4 c-5 c-6 c-7 c-8 c-9"; strings.Join(seen, " ") != want {
		t.Errorf("listed %v, want %s", seen, want)
	}
}

// readsWhatWasWritten says whether a consistent read at a follower shows what was acknowledged before.
func readsWhatWasWritten(t *testing.T, s *Storage) bool {
	t.Helper()
	create(t, s, "hz-a")
	return patiently(func() error {
		return s.Get(t.Context(), centersPrefix+"hz-a", storage.GetOptions{}, &v1alpha1.Center{})
	}) == nil
}

func TestConsistentReadWaitsForTheReplica(t *testing.T) {
	if !readsWhatWasWritten(t, newCenters(t, newFollower(t, newReplica(t)))) {
		t.Error("a consistent read does not show an acknowledged write")
	}
	stale := newCenters(t, newFollower(t, newReplica(t)))
	stale.planted.staleReads = true
	if readsWhatWasWritten(t, stale) {
		t.Error("a stale read that is served as consistent is not found")
	}
}

func TestZeroReadsWhatTheReplicaHas(t *testing.T) {
	leader := newReplica(t)
	f := newFollower(t, leader)
	s := newCenters(t, f)
	create(t, s, "hz-a")
	f.catchUp()
	create(t, s, "hz-b")
	leader.read = ErrNoQuorum
	list := &v1alpha1.CenterList{}
	opts := storage.ListOptions{Recursive: true, Predicate: storage.Everything, ResourceVersion: "0"}
	if err := s.GetList(t.Context(), centersPrefix, opts, list); err != nil || len(list.Items) != 1 {
		t.Errorf("stale list: %d items, %v: want the one that the replica has", len(list.Items), err)
	}
}

func TestConsistentReadFailsSoonAndNamesTheStaleOne(t *testing.T) {
	leader := newReplica(t)
	f := newFollower(t, leader)
	f.reading = false // the replica never catches up
	s := newCenters(t, f)
	create(t, s, "hz-a")
	err := s.Get(t.Context(), centersPrefix+"hz-a", storage.GetOptions{}, &v1alpha1.Center{})
	if f.patience > readPatience {
		t.Errorf("could take %s, want at most %s", f.patience, readPatience)
	}
	if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(),
		"kubectl get --raw '/apis/pentad.dev/v1alpha1/centers?resourceVersion=0'") {
		t.Errorf("%v: want unavailable, with the stale read", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.Get(ctx, centersPrefix+"hz-a", storage.GetOptions{}, &v1alpha1.Center{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v: want the caller's own end", err)
	}
}

func TestUnreachedRevisionTimesOut(t *testing.T) {
	s := newCenters(t, newReplica(t))
	reaching := &timed{State: s.state}
	s.state = reaching
	ahead := fmt.Sprint(s.state.Local().Revision() + 1000)
	everything := storage.ListOptions{Recursive: true, Predicate: storage.Everything, ResourceVersion: ahead}
	exact := everything
	exact.ResourceVersionMatch = metav1.ResourceVersionMatchExact
	for name, read := range map[string]func() error{
		"get": func() error {
			return s.Get(t.Context(), centersPrefix+"x", storage.GetOptions{ResourceVersion: ahead}, &v1alpha1.Center{})
		},
		"list":  func() error { return s.GetList(t.Context(), centersPrefix, everything, &v1alpha1.CenterList{}) },
		"exact": func() error { return s.GetList(t.Context(), centersPrefix, exact, &v1alpha1.CenterList{}) },
		"watch": func() error { _, err := s.Watch(t.Context(), centersPrefix, everything); return err },
	} {
		reaching.patience = math.MaxInt64
		err := read()
		if !storage.IsTooLargeResourceVersion(err) || reaching.patience > s.reachPatience {
			t.Errorf("%s: %v, could wait %s, want too large a resource version after 100ms", name, err, reaching.patience)
		}
	}
}

// timed is a State that notes how long the last Reach could take.
type timed struct {
	State
	patience time.Duration
}

func (s *timed) Reach(ctx context.Context, revision uint64) error {
	s.patience = left(ctx)
	return s.State.Reach(ctx, revision)
}

func TestUpdateFromAnOldReplicaWinsTheRace(t *testing.T) {
	f := newFollower(t, newReplica(t))
	s := newCenters(t, f)
	create(t, s, "hz-a")
	f.catchUp()
	if err := relabel(t.Context(), s, "hz-a", "first"); err != nil {
		t.Fatal(err)
	}
	if err := relabel(t.Context(), s, "hz-a", "second"); err != nil { // the replica still has no label
		t.Fatal(err)
	}
	out := &v1alpha1.Center{}
	err := patiently(func() error { return s.Get(t.Context(), centersPrefix+"hz-a", storage.GetOptions{}, out) })
	if err != nil || out.Labels["x"] != "second" {
		t.Errorf("labels %v, %v: want the second", out.Labels, err)
	}
}

func TestProposalsThatFailSayWhatIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		is   func(error) bool
		says string
	}{
		"no quorum": {
			fmt.Errorf("%w (no leader)", ErrNoQuorum), apierrors.IsServiceUnavailable, "nothing was written: no quorum",
		},
		"not written": {fmt.Errorf("disk full: %w", ErrNotWritten), apierrors.IsServiceUnavailable, "disk full"},
		"unknown":     {errors.New("leader lost"), apierrors.IsTimeout, "may or may not be done (leader lost)"},
	} {
		r := newReplica(t)
		r.propose = func(*intentpb.Command) error { return c.err }
		err := newCenters(t, r).Create(t.Context(), centersPrefix+"hz-a", prepared("hz-a"), nil, 0)
		if !c.is(err) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	big := prepared("hz-a")
	big.Annotations = map[string]string{"a": strings.Repeat("x", 1<<20)}
	err := newCenters(t, newReplica(t)).Create(t.Context(), centersPrefix+"hz-a", big, nil, 0)
	if !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("%v: want too large", err)
	}
}

func TestRefusalOfTheStateMachineNamesTheFields(t *testing.T) {
	bad := prepared("hz-a")
	bad.Generation, bad.Spec.Role = 7, "Boss"
	err := newCenters(t, newReplica(t)).Create(t.Context(), centersPrefix+"hz-a", bad, nil, 0)
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		t.Fatalf("%v: want invalid", err)
	}
	fields := map[string]bool{}
	for _, cause := range status.Status().Details.Causes {
		fields[cause.Field] = true
	}
	if !fields["metadata.generation"] || !fields["spec.role"] {
		t.Errorf("causes %v: want generation and role", status.Status().Details.Causes)
	}
}
