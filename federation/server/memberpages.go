package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

// Member is a server, as the API's page /pentad/servers says.
type Member struct {
	Name string `json:"name"`
	process.Place
	// Role is voter or replica, as Raft's configuration has it, or none; Wanted is what operators want.
	Role   string `json:"role"`
	Wanted string `json:"wanted"`
	Leader bool   `json:"leader"`
	// Heard is how long ago the leader heard of it; negative: not since it leads, which is that long.
	Heard time.Duration `json:"heard"`
	// Behind is how many entries of the log it lacks.
	Behind  uint64 `json:"behind"`
	Level   uint32 `json:"level"`
	Version string `json:"version"`
	Folder  string `json:"folder"`
	Raft    string `json:"raft"`
	GRPC    string `json:"grpc"`
	API     string `json:"api"`
}

// Members is the page /pentad/servers.
type Members struct {
	// Level is the highest level of commands in the log.
	Level   uint32   `json:"level"`
	Cluster string   `json:"cluster"`
	Members []Member `json:"members"`
}

// memberPages are added to pages.
func (s *Core) memberPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /pentad/servers", s.listMembers)
	mux.HandleFunc("POST /pentad/servers/{name}", s.orderMember)
	mux.HandleFunc("GET /pentad/tokens", s.listTokens)
	mux.HandleFunc("POST /pentad/tokens", s.createToken)
	mux.HandleFunc("DELETE /pentad/tokens/{name}", s.revokeToken)
}

func (s *Core) listMembers(w http.ResponseWriter, r *http.Request) {
	states, err := s.Members(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	page := Members{Level: s.machine.Level(), Cluster: s.node.Folder().Cluster, Members: []Member{}}
	for _, m := range states {
		page.Members = append(page.Members, memberOf(m))
	}
	slices.SortFunc(page.Members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	answer(w, page)
}

func memberOf(m *intentpb.MemberState) Member {
	r := m.GetServer()
	role, wanted := "none", "replica"
	switch {
	case m.GetVotes():
		role = "voter"
	case m.GetInRaft():
		role = "replica"
	}
	switch {
	case r.GetRemoved():
		wanted = "removed"
	case r.GetVoter():
		wanted = "voter"
	}
	return Member{
		Name: r.GetName(), Place: process.Place{Region: r.GetRegion(), Center: r.GetCenter()}, Role: role, Wanted: wanted,
		Leader: m.GetLeads(), Heard: time.Duration(m.GetHeardMs()) * time.Millisecond, Behind: m.GetBehind(), Level: r.GetLevel(),
		Version: r.GetVersion(), Folder: r.GetFolder(), Raft: r.GetRaft(), GRPC: r.GetGrpc(), API: r.GetApi(),
	}
}

func (s *Core) orderMember(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Order string `json:"order"`
		Force bool   `json:"force"`
	}
	if err := decodeOrder(w, r, &order); err != nil {
		http.Error(w, fmt.Sprintf(`the body must be {"order": "promote", "demote" or "remove", "force": BOOL}: %v`, err), http.StatusBadRequest)
		return
	}
	what, ok := orders[order.Order]
	if !ok {
		http.Error(w, fmt.Sprintf("order: %q is none of promote, demote, remove", order.Order), http.StatusUnprocessableEntity)
		return
	}
	done, err := s.Change(r.Context(), &intentpb.ChangeRequest{Name: r.PathValue("name"), Order: what, Force: order.Force})
	if err != nil {
		http.Error(w, brief(err).Error(), orderStatus(err))
		return
	}
	answer(w, map[string]string{"message": done})
}

// orderStatus is what an operator's order ended with, over HTTP.
func orderStatus(err error) int {
	switch code := status.Code(err); {
	case refusedOrder(err), code == codes.NotFound, code == codes.OutOfRange, code == codes.InvalidArgument:
		return http.StatusUnprocessableEntity
	}
	return http.StatusServiceUnavailable
}

func decodeOrder(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// callerOf is who asks, by the certificate that the API verified.
func callerOf(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	if id, err := identity.FromCertificate(r.TLS.PeerCertificates[0]); err == nil {
		return id.String()
	}
	return r.TLS.PeerCertificates[0].Subject.CommonName
}
