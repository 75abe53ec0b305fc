package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
)

// Details of a refusal.
const (
	errorDomain      = "ledger.sample.pentad.dev"
	reasonNotPrimary = "NOT_PRIMARY"
	primaryKey       = "primary"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxID        = 256
	maxPayload   = 256 << 10
)

// service is the gRPC face of a member.
type service struct {
	ledgerpb.UnimplementedLedgerServer
	ledgerpb.UnimplementedReplicationServer
	member *Member
}

func (s *service) mine(store string) error {
	if store != s.member.cfg.Store {
		return status.Errorf(codes.InvalidArgument, "store: %q: this is a member of %q", store, s.member.cfg.Store)
	}
	return nil
}

// Append implements ledgerpb.LedgerServer.
func (s *service) Append(ctx context.Context, r *ledgerpb.AppendRequest) (*ledgerpb.AppendResponse, error) {
	if err := s.mine(r.GetStore()); err != nil {
		return nil, err
	}
	w := r.GetWrite()
	switch {
	case w.GetId() == "" || len(w.GetId()) > maxID:
		return nil, status.Errorf(codes.InvalidArgument, "write.id: %q: must have 1 to %d bytes", w.GetId(), maxID)
	case len(w.GetPayload())+len(w.GetKey()) > maxPayload:
		return nil, status.Errorf(codes.InvalidArgument, "write.payload: %d bytes: must be at most %d",
			len(w.GetPayload()), maxPayload)
	}
	outcome := make(chan result, 1)
	select {
	case s.member.writes <- write{Write: w, done: func(r result) { outcome <- r }}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	select {
	case r := <-outcome:
		if r.err != nil {
			return nil, s.refused(r.err)
		}
		return &ledgerpb.AppendResponse{
			Position: &ledgerpb.Position{Epoch: r.at.Epoch, Index: r.at.Index},
			Repeated: r.repeated, Member: s.member.cfg.Member, Token: r.token,
		}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (s *service) refused(err error) error {
	code := codes.FailedPrecondition
	if errors.Is(err, ErrUnknown) {
		code = codes.Aborted
	}
	refusal := status.New(code, err.Error())
	heard := ""
	_, _ = s.member.look(func(c *core) { heard = c.heard })
	detailed, derr := refusal.WithDetails(&errdetails.ErrorInfo{
		Domain: errorDomain, Reason: reasonNotPrimary, Metadata: map[string]string{primaryKey: heard},
	})
	if derr != nil {
		return refusal.Err()
	}
	return detailed.Err()
}

// Find implements ledgerpb.LedgerServer.
func (s *service) Find(_ context.Context, r *ledgerpb.FindRequest) (*ledgerpb.FindResponse, error) {
	if err := s.mine(r.GetStore()); err != nil {
		return nil, err
	}
	limit := int(r.GetLimit())
	switch {
	case limit == 0:
		limit = defaultLimit
	case limit > maxLimit:
		return nil, status.Errorf(codes.InvalidArgument, "limit: %d: must be at most %d", limit, maxLimit)
	}
	var found []entry
	var first []uint64
	if _, err := s.member.look(func(c *core) { first, found = c.find(r.GetId(), r.GetShard(), limit) }); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	answer := &ledgerpb.FindResponse{}
	for i, raw := range found {
		_, e, err := decodeEntry(raw.record, first[i])
		if err != nil {
			return nil, status.Error(codes.DataLoss, err.Error())
		}
		answer.Entries = append(answer.Entries, e)
	}
	return answer, nil
}

// find returns acknowledged entries with their indexes, in the order of the log.
func (c *core) find(id string, shard uint32, limit int) (indexes []uint64, entries []entry) {
	all := c.shards[shard]
	if id != "" {
		all = nil
		if at, ok := c.ids[id]; ok {
			all = []uint64{at}
		}
	}
	for len(all) > 0 && all[len(all)-1] > c.committed {
		all = all[:len(all)-1]
	}
	for _, at := range all[max(0, len(all)-limit):] {
		indexes, entries = append(indexes, at), append(entries, c.log[at-1])
	}
	return indexes, entries
}

// State implements ledgerpb.LedgerServer.
func (s *service) State(_ context.Context, r *ledgerpb.StateRequest) (*ledgerpb.StateResponse, error) {
	if err := s.mine(r.GetStore()); err != nil {
		return nil, err
	}
	return s.member.State(), nil
}

// State is what a member knows of itself, for its process's status page and for tests.
func (m *Member) State() *ledgerpb.StateResponse {
	state := &ledgerpb.StateResponse{Store: m.cfg.Store, Member: m.cfg.Member}
	_, err := m.look(func(c *core) {
		if _, left, named := c.permit(); named { // before it is asked for: who accepts had something left
			state.PermitLeftMs = max(0, int64((left+time.Millisecond-1)/time.Millisecond))
		}
		state.Token, state.Position, state.Committed = c.token, c.positionProto(), c.committed
		state.Role, state.Open, state.Accepting = c.role.String(), c.open, c.accepts()
		state.Primary, state.Problem = c.heard, c.problem
	})
	if err != nil {
		state.Problem = err.Error()
	}
	return state
}

// Replicate implements ledgerpb.ReplicationServer.
func (s *service) Replicate(
	messages grpc.BidiStreamingServer[ledgerpb.ReplicateRequest, ledgerpb.ReplicateResponse],
) error {
	for {
		message, err := messages.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.mine(message.GetStore()); err != nil {
			return err
		}
		var answer *ledgerpb.ReplicateResponse
		var wrong error
		if err := s.member.do(func(c *core) { answer, wrong = c.replicate(message) }); err != nil {
			return status.Error(codes.Unavailable, err.Error())
		}
		if wrong != nil {
			s.member.log.Error("message of a primary refused", "peer", message.GetFrom(), "error", wrong)
			return status.Error(codes.InvalidArgument, wrong.Error())
		}
		if err := messages.Send(answer); err != nil {
			return err
		}
	}
}

// Fetch implements ledgerpb.ReplicationServer.
func (s *service) Fetch(_ context.Context, r *ledgerpb.FetchRequest) (answer *ledgerpb.FetchResponse, err error) {
	if err := s.mine(r.GetStore()); err != nil {
		return nil, err
	}
	if _, err := s.member.look(func(c *core) { answer = c.fetch(r) }); err != nil {
		return nil, status.Error(codes.Unavailable, fmt.Sprint(err))
	}
	return answer, nil
}
