package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/controller"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/switchover"
)

const (
	// transfersIn bounds a hand-over of the leadership.
	transfersIn = 5 * time.Second
	maxOrder    = 4 << 10
)

// Leadership is who leads, as the API's page /pentad/leadership says.
type Leadership struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
}

// Explanation is why a switchover is where it is, as the API's page /pentad/switchovers/NAME says.
type Explanation struct {
	// Waiting is what it waits for, and what an operator can do.
	Waiting string `json:"waiting"`
	// Details are what those say, or do not say, whom it waits for.
	Details []string `json:"details,omitempty"`
}

// pages are what operators can ask and do beside the API's objects. The API server lets viewers read and admins post.
func (s *Core) pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pentad/leadership", func(w http.ResponseWriter, _ *http.Request) {
		leader, _, term := s.node.Leader()
		answer(w, Leadership{Leader: leader, Term: term})
	})
	mux.HandleFunc("POST /pentad/leadership", s.transfer)
	mux.HandleFunc("GET /pentad/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.status()) })
	mux.HandleFunc("GET /pentad/switchovers/{name}", s.explain)
	mux.HandleFunc("GET "+backupPath, s.backupPage)
	mux.HandleFunc("GET /pentad/reconciliation", s.reconciliationPage)
	s.memberPages(mux)
	return mux
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the caller has gone
}

// transfer hands the leadership to the voter that the body names.
func (s *Core) transfer(w http.ResponseWriter, r *http.Request) {
	var order struct {
		To string `json:"to"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&order); err != nil {
		http.Error(w, fmt.Sprintf("the body must be {\"to\": SERVER}: %v", err), http.StatusBadRequest)
		return
	}
	if !slices.ContainsFunc(s.node.Members(), func(m consensus.MemberStatus) bool { return m.ID == order.To && m.Voter }) {
		http.Error(w, fmt.Sprintf("to: %q is no voter", order.To), http.StatusUnprocessableEntity)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), transfersIn)
	defer cancel()
	err := s.backend.atLeader(ctx, call{
		here: func(ctx context.Context) error { return s.transferHere(ctx, order.To) },
		there: func(ctx context.Context, leader intentpb.IntentClient) error {
			_, err := leader.TransferLeadership(ctx, &intentpb.TransferLeadershipRequest{To: order.To})
			return err
		},
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.log.Info("leadership was handed over", "to", order.To)
	answer(w, Leadership{Leader: order.To})
}

// transferHere does nothing when the voter leads already.
func (s *Core) transferHere(ctx context.Context, to string) error {
	if to == s.config.Name {
		return nil
	}
	return s.node.TransferLeadership(ctx, to)
}

// TransferLeadership implements the service of servers.
func (f forwarded) TransferLeadership(
	ctx context.Context, request *intentpb.TransferLeadershipRequest,
) (*intentpb.TransferLeadershipResponse, error) {
	if !f.server.node.IsLeader() {
		return nil, toStatus(consensus.ErrNotLeader)
	}
	if err := f.server.transferHere(ctx, request.GetTo()); err != nil {
		return nil, toStatus(err)
	}
	return &intentpb.TransferLeadershipResponse{}, nil
}

// explain says what a switchover waits for, from this server's replica and what it hears.
func (s *Core) explain(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	state := s.machine.View().Ownership()
	o := state.Switchovers[name]
	if o == nil {
		http.Error(w, fmt.Sprintf("switchover %q is not there, as far as this server knows", name), http.StatusNotFound)
		return
	}
	e := Explanation{Waiting: state.Waiting(name)}
	heard := map[string]*intentpb.SessionProgress{}
	for _, p := range s.allProgress(r.Context()) {
		heard[p.GetSession()] = p
	}
	e.Details = append(e.Details, relaysSay(state, o, heard)...)
	e.Details = append(e.Details, s.storesSay(state, o)...)
	answer(w, e)
}

// relaysSay is what is heard of the relays that a switchover waits for: to acknowledge its freeze, or before that, to
// be able to.
func relaysSay(
	state switchover.State, o *switchover.Switchover, heard map[string]*intentpb.SessionProgress,
) (details []string) {
	concerned := state.Concerned(o.Name)
	if o.Phase == switchover.PhaseApproved && o.Mode != switchover.Disaster {
		concerned = controller.Awaited(state, o)
	}
	for _, id := range concerned {
		session := state.Sessions[id]
		said := "nothing was heard of it by any server within reach"
		if p := heard[id]; p != nil {
			said = fmt.Sprintf("asked %s ago", time.Duration(p.GetAgeMs())*time.Millisecond)
		}
		if session.Closed {
			said += "; its session is closed, and removed when its permits have ended"
		}
		details = append(details, fmt.Sprintf("relay %s must acknowledge the freeze: %s", session.Name, said))
	}
	return details
}

// storesSay is what agents report of a switchover's stores, when their orders are not obeyed.
func (s *Core) storesSay(state switchover.State, o *switchover.Switchover) (details []string) {
	for _, move := range o.Plan.Stores {
		store := state.Stores[move.Store]
		if store == nil || store.Order == nil || store.Order.UID != o.UID {
			continue
		}
		members := store.Members
		if store.Order.Member != "" {
			members = []string{store.Order.Member}
		}
		for _, member := range members {
			if said := s.memberSays(move.Store, member, store.Order); said != "" {
				details = append(details, fmt.Sprintf("store %s, member %s: %s", move.Store, member, said))
			}
		}
	}
	return details
}

// memberSays is empty when the member has obeyed.
func (s *Core) memberSays(store, member string, order *switchover.Order) string {
	said := s.reportOf(store, member)
	asked := fmt.Sprintf("asked for %s with token %d", order.Action, order.Token)
	switch {
	case said == nil:
		return asked + "; its agent has never reported"
	case said.GetError() != "":
		return asked + ": " + said.GetError()
	case said.GetSwitchoverUid() == order.UID && int(said.GetStep()) == order.Step:
		return ""
	}
	return asked + "; it has not been reported yet"
}

// reportOf is what the agent of a store's member last said of it; nil: nothing.
func (s *Core) reportOf(store, member string) *modelpb.StoreReport {
	declared := s.machine.View().Lookup()
	for _, id := range s.feeds.IDs() {
		cluster, source, ok := model.SplitFeedID(id)
		if !ok || source != model.ReportsSource || !controller.Drives(declared, cluster, store, member) {
			continue
		}
		log, ok := s.feeds.Get(id)
		if !ok {
			return nil
		}
		record, ok := log.Get(model.KindStoreReport, store)
		if !ok {
			return nil
		}
		said, err := model.DecodeStoreReport(record.Key, record.Value)
		if err != nil || said.GetMember() != member {
			return nil
		}
		return said
	}
	return nil
}
