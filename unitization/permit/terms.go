package permit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/switchover"
)

// Terms are what a state grants to the sessions of one kind in one center. They are immutable.
type Terms struct {
	Holds  time.Duration
	Maps   []*permitpb.Map
	Stores []*permitpb.StorePermit
}

// TermsOf are what a state grants: to relays the maps that concern their center (nil: all), to agents their stores. A
// permit holds for the shortest permit duration among the maps that it stands for, a store's among all.
func TermsOf(
	s switchover.State, holder switchover.Holder, center string, concerns func(unitization string) bool,
) Terms {
	var t Terms
	for _, name := range slices.Sorted(maps.Keys(s.Maps)) {
		m := s.Maps[name]
		if holder == switchover.Relay {
			if concerns != nil && !concerns(name) {
				continue
			}
			t.Maps = append(t.Maps, mapOf(name, m))
		}
		if d := min(m.Permit, Longest); d > 0 && (t.Holds == 0 || d < t.Holds) {
			t.Holds = d
		}
	}
	if t.Holds == 0 {
		t.Holds = Default
	}
	if holder != switchover.Agent {
		return t
	}
	for _, name := range slices.Sorted(maps.Keys(s.Stores)) {
		st := s.Stores[name]
		if !slices.Contains(st.Members, center) {
			continue
		}
		p := &permitpb.StorePermit{Store: name, Token: st.Token}
		if st.Accepting {
			p.Primary = st.Primary
		}
		t.Stores = append(t.Stores, p)
	}
	return t
}

func mapOf(name string, m *switchover.Map) *permitpb.Map {
	pb := &permitpb.Map{Unitization: name, Shards: uint32(m.Shards), Epoch: m.Epoch, Keep: m.Keep}
	for _, r := range m.Ranges {
		pb.Ranges = append(pb.Ranges, &permitpb.Range{
			From: uint32(r.From), To: uint32(r.To), Unit: r.Unit, Cells: r.Cells,
			Frozen: r.Frozen, Since: r.Since, Left: r.Left,
		})
	}
	return pb
}

// Answer is the answer to an ask, from the state at a revision that was read after it.
func (t Terms) Answer(number, revision uint64) *permitpb.Answer {
	return &permitpb.Answer{
		Number: number, Revision: revision, HoldsNs: int64(t.Holds), Maps: t.Maps, Stores: t.Stores,
	}
}

// SessionOf is the session that an open names, of a relay or an agent. Another holder, or one that names cells or
// stores (theirs follow from the center), is ErrMalformed.
func SessionOf(o *permitpb.Open) (switchover.Session, error) {
	if err := checkNames(o); err != nil {
		return switchover.Session{}, err
	}
	s := switchover.Session{ID: o.GetSession(), Name: o.GetName(), Cluster: o.GetCluster(), Center: o.GetCenter()}
	switch o.GetHolder() {
	case permitpb.Holder_HOLDER_RELAY:
		s.Holder = switchover.Relay
	case permitpb.Holder_HOLDER_AGENT:
		s.Holder = switchover.Agent
	default:
		return s, fmt.Errorf("%w: holder: %s: a server grants to relays and agents", ErrMalformed, o.GetHolder())
	}
	if s.Cluster == "" || s.Center == "" {
		return s, fmt.Errorf("%w: cluster %q, center %q: both are required", ErrMalformed, s.Cluster, s.Center)
	}
	if len(o.GetCells())+len(o.GetStores()) > 0 {
		return s, fmt.Errorf("%w: cells, stores: those of relays and agents follow from their center", ErrMalformed)
	}
	return s, nil
}

// CheckSession says whether a session may have a permit by a state (rule 3 of ownership): it must be there, as it says
// of itself, and not closed. Errors: ErrUnregistered, ErrSessionClosed, ErrDenied.
func CheckSession(s switchover.State, session switchover.Session) error {
	there := s.Sessions[session.ID]
	switch {
	case there == nil:
		return fmt.Errorf("session %s: %w", session.ID, ErrUnregistered)
	case there.Holder != session.Holder || there.Name != session.Name || there.Center != session.Center ||
		there.Cluster != session.Cluster:
		return fmt.Errorf("%w: session %s: is that of %s in cluster %s", ErrDenied, session.ID, there.Name, there.Cluster)
	case there.Closed:
		return fmt.Errorf("session %s: %w", session.ID, ErrSessionClosed)
	}
	return nil
}
