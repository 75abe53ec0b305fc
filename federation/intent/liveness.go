package intent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// livenessLevel is the level from which clusters can say what becomes of them when they are silent.
const livenessLevel = 2

// expiries are the clusters whose endpoints are withdrawn, or were once, by name: rule 11. The map is never changed, only
// replaced. An entry goes with its Cluster, so that another one of that name begins live.
type expiries map[string]*intentpb.ClusterLiveness

// with is x with some entries replaced.
func (x expiries) with(replaced expiries) expiries {
	if len(replaced) == 0 {
		return x
	}
	next := make(expiries, len(x)+len(replaced))
	maps.Copy(next, x)
	maps.Copy(next, replaced)
	return next
}

// without is x without the entry of a cluster.
func (x expiries) without(cluster string) expiries {
	if x[cluster] == nil {
		return x
	}
	next := maps.Clone(x)
	delete(next, cluster)
	return next
}

// names are those of the clusters that are expired, or with all also of those that were once; sorted.
func (x expiries) names(all bool) []string {
	var names []string
	for name, l := range x {
		if all || l.GetExpired() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Expiry implements v1alpha1.Lookup.
func (o objects) Expiry(cluster string) (v1alpha1.Expiry, bool) {
	l, ok := o.expiries[cluster]
	return v1alpha1.Expiry{Expired: l.GetExpired(), Since: time.UnixMilli(l.GetSinceUnixMs()).UTC()}, ok
}

// Expired says whether a cluster's endpoints are withdrawn in the picture.
func (v View) Expired(cluster string) bool { return v.objects.expiries[cluster].GetExpired() }

// Estate is the Estate in the picture; false: there is none, and the defaults hold.
func (v View) Estate() (*v1alpha1.Estate, bool) {
	return find[*v1alpha1.Estate](v.objects, v1alpha1.KindEstate, v1alpha1.EstateName)
}

// checkLiveness is checkOperation for SetLiveness.
func checkLiveness(s *intentpb.SetLiveness) error {
	if n := len(s.GetClusters()); n > MaxBatch {
		return fmt.Errorf("clusters: %d of them: must be at most %d", n, MaxBatch)
	}
	for i, c := range s.GetClusters() {
		at := fmt.Sprintf("clusters[%d].", i)
		err := errors.Join(named(at+"cluster", c.GetCluster()), checkID(at+"uid", c.GetUid()))
		if c.GetSinceUnixMs() != 0 {
			err = errors.Join(err, fmt.Errorf("%ssince_unix_ms %d: must not be set: it is the command's time", at, c.GetSinceUnixMs()))
		}
		if err != nil {
			return err
		}
	}
	if s.GetHeld() == nil {
		return nil
	}
	return errors.Join(named("held.reason", s.GetHeld().GetReason()), named("held.message", s.GetHeld().GetMessage()))
}

// setLiveness withdraws clusters, or takes them back, and notes why others are not withdrawn. What the operator last
// declared holds, also against a leader that had not seen it yet.
func (e *entry) setLiveness(s *intentpb.SetLiveness) field.ErrorList {
	decided := expiries{}
	for i, c := range s.GetClusters() {
		path := field.NewPath("clusters").Index(i)
		cluster, ok := find[*v1alpha1.Cluster](e.state.objects, v1alpha1.KindCluster, c.GetCluster())
		switch {
		case !ok:
			return field.ErrorList{notFound(path.Child("cluster"), c.GetCluster(), "must be the name of a declared Cluster")}
		case string(cluster.UID) != c.GetUid():
			return field.ErrorList{field.Invalid(path.Child("uid"), c.GetUid(),
				fmt.Sprintf("must be %q, that of cluster %q", cluster.UID, cluster.Name))}
		case cmp.Or(decided[cluster.Name], e.state.expiries[cluster.Name]).GetExpired() == c.GetExpired():
			continue // repeated
		}
		if _, may := cluster.Spec.KeepFor(); c.GetExpired() && !may {
			return field.ErrorList{field.Invalid(path.Child("expired"), true,
				fmt.Sprintf("spec.onSilence.keepFor of cluster %q is %s", cluster.Name, v1alpha1.KeepForNever))}
		}
		decided[cluster.Name] = &intentpb.ClusterLiveness{
			Cluster: cluster.Name, Uid: c.GetUid(), Expired: c.GetExpired(), SinceUnixMs: e.at.UnixMilli(),
		}
	}
	next := e.state.expiries.with(decided)
	if errs := e.validateWithdrawals(next); len(errs) > 0 {
		return errs
	}
	e.held = s.GetHeld()
	e.state.expiries = next
	return nil
}

// validateWithdrawals holds what would be withdrawn anew to the switch and to the bound.
func (e *entry) validateWithdrawals(next expiries) field.ErrorList {
	var anew []string
	for _, name := range next.names(false) {
		if !e.state.expiries[name].GetExpired() {
			anew = append(anew, name)
		}
	}
	if len(anew) == 0 {
		return nil
	}
	var limits v1alpha1.Withdrawals
	if estate, ok := find[*v1alpha1.Estate](e.state.objects, v1alpha1.KindEstate, v1alpha1.EstateName); ok {
		limits = estate.Spec.Withdrawals
	}
	clusters := 0
	for range e.state.Clusters() {
		clusters++
	}
	switch most, because := limits.Bound(clusters); {
	case limits.Stopped && !e.f.config.broken.has(brokenWithdrawalsSwitch):
		return field.ErrorList{field.Forbidden(field.NewPath("clusters"),
			fmt.Sprintf("withdrawals of %q: spec.withdrawals.stopped of the Estate is true", anew))}
	case len(next.names(false)) > most && !e.f.config.broken.has(brokenWithdrawalsBound):
		return field.ErrorList{field.Forbidden(field.NewPath("clusters"),
			fmt.Sprintf("withdrawals of %q: %d would be withdrawn at once, at most %d may: %s",
				anew, len(next.names(false)), most, because))}
	}
	return nil
}

// showLiveness gives the objects that a SetLiveness shows in: the Clusters whose expiry is another, and the Estate.
func (e *entry) showLiveness() []*Object {
	var shown []*Object
	for _, name := range e.f.state.expiries.changed(e.state.expiries) {
		stored, ok := e.state.get(v1alpha1.KindCluster, name)
		if !ok {
			continue
		}
		next := *stored
		cluster := stored.decoded.DeepCopyObject().(*v1alpha1.Cluster)
		v1alpha1.DeriveStatus(cluster, e.state.objects)
		next.decoded, next.Value = cluster, setStatus(stored.Value, cluster.Status)
		shown = append(shown, &next)
	}
	if stored, ok := e.state.get(v1alpha1.KindEstate, v1alpha1.EstateName); ok {
		if estate := e.holding(stored.decoded.(*v1alpha1.Estate)); estate != nil {
			next := *stored
			next.decoded, next.Value = estate, setStatus(stored.Value, estate.Status)
			shown = append(shown, &next)
		}
	}
	return shown
}

// holding is an Estate that says why withdrawals are held back now; nil: it says so already.
func (e *entry) holding(was *v1alpha1.Estate) *v1alpha1.Estate {
	condition := metav1.Condition{
		Type: v1alpha1.ConditionWithdrawalsHeld, Status: metav1.ConditionTrue,
		Reason: e.held.GetReason(), Message: e.held.GetMessage(),
		LastTransitionTime: metav1.NewTime(e.at.UTC().Truncate(time.Second)), // what JSON keeps of it
	}
	if e.held == nil {
		condition.Status, condition.Reason = metav1.ConditionFalse, v1alpha1.ReasonNothingHeld
		if meta.FindStatusCondition(was.Status.Conditions, condition.Type) == nil {
			return nil // it never held anything
		}
	}
	next := was.DeepCopy()
	if !meta.SetStatusCondition(&next.Status.Conditions, condition) {
		return nil
	}
	return next
}

// changed are the clusters whose entries differ, sorted. Most entries of the log leave the map as it is.
func (x expiries) changed(now expiries) []string {
	if sameMap(x, now) {
		return nil
	}
	names := map[string]bool{}
	for name, l := range x {
		if !proto.Equal(l, now[name]) {
			names[name] = true
		}
	}
	for name, l := range now {
		if !proto.Equal(l, x[name]) {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// livenessChanges are the records of the clusters whose expiry an entry changed: one while a cluster is expired.
func (x expiries) livenessChanges(now expiries) []feed.Change {
	var changes []feed.Change
	for _, name := range x.changed(now) {
		if x[name].GetExpired() != now[name].GetExpired() {
			changes = append(changes, livenessChange(name, now[name]))
		}
	}
	return changes
}

func livenessChange(cluster string, l *intentpb.ClusterLiveness) feed.Change {
	change := feed.Change{Kind: model.KindLiveness, Key: cluster}
	if !l.GetExpired() {
		return change
	}
	value, err := model.Encode(&modelpb.Liveness{Cluster: cluster, State: modelpb.LivenessState_LIVENESS_STATE_EXPIRED})
	if err != nil {
		panic(fmt.Sprintf("intent: Liveness %q cannot be encoded: %v", cluster, err))
	}
	change.Value = value
	return change
}

// expiries writes what is known of clusters that expired, after the objects.
func (o *frameWriter) expiries(x expiries) {
	for _, name := range x.names(true) {
		o.frame(&intentpb.Frame{Part: &intentpb.Frame_Cluster{Cluster: x[name]}})
	}
}

// addExpiry reads one. Its Cluster came before it.
func (p *picture) addExpiry(l *intentpb.ClusterLiveness) error {
	cluster, ok := find[*v1alpha1.Cluster](p.state.objects, v1alpha1.KindCluster, l.GetCluster())
	switch {
	case !ok || string(cluster.UID) != l.GetUid():
		return fmt.Errorf("%w: liveness of cluster %q, uid %q: there is no such Cluster", ErrSnapshot, l.GetCluster(), l.GetUid())
	case p.answers.len() > 0 || l.GetCluster() <= p.lastExpiry:
		return fmt.Errorf("%w: liveness of cluster %q: out of order", ErrSnapshot, l.GetCluster())
	}
	p.lastExpiry = l.GetCluster()
	if p.state.expiries == nil {
		p.state.expiries = expiries{}
	}
	p.state.expiries[l.GetCluster()] = l // nobody else has the map yet
	return nil
}

// saysSilence says whether a declared object uses a field of livenessLevel, which older versions refuse.
func saysSilence(declared interface {
	GetKind() string
	GetValue() []byte
}) bool {
	if declared.GetKind() != v1alpha1.KindCluster {
		return false
	}
	var said struct {
		Spec struct {
			OnSilence json.RawMessage `json:"onSilence"`
		} `json:"spec"`
	}
	return json.Unmarshal(declared.GetValue(), &said) == nil && said.Spec.OnSilence != nil
}
