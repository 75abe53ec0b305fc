package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// forwarded is the service that other servers reach the leader by. Only servers may call it.
type forwarded struct {
	intentpb.UnimplementedIntentServer
	server *Core
}

func (f forwarded) Propose(ctx context.Context, request *intentpb.ProposeRequest) (*intentpb.ProposeResponse, error) {
	if err := f.server.check(request.GetCommand()); err != nil {
		if result, refused := f.server.machine.Refusal(err); refused {
			return &intentpb.ProposeResponse{Result: result}, nil
		}
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	index, result, err := f.server.node.Propose(ctx, request.GetCommand())
	if err != nil {
		return nil, toStatus(err)
	}
	return &intentpb.ProposeResponse{Result: result, Index: index}, nil
}

func (f forwarded) ReadRevision(ctx context.Context, _ *intentpb.ReadRevisionRequest) (*intentpb.ReadRevisionResponse, error) {
	if _, err := f.server.node.ReadIndex(ctx); err != nil {
		return nil, toStatus(err)
	}
	return &intentpb.ReadRevisionResponse{Revision: f.server.machine.Revision()}, nil
}

func toStatus(err error) error {
	switch code := status.Code(err); {
	case code != codes.Unknown: // the leader has said it
		return status.Error(code, brief(err).Error())
	case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrNoQuorum):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, consensus.ErrDiskFull):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, consensus.ErrTooLarge), errors.Is(err, errUnsafe), errors.Is(err, errAnnouncement), errors.Is(err, errJoin),
		errors.Is(err, intent.ErrCommand),
		errors.Is(err, consensus.ErrUnhealthy), errors.Is(err, consensus.ErrLastVoter):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, errNoMember):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, errNotYet), errors.Is(err, consensus.ErrLagging):
		return status.Error(codes.OutOfRange, err.Error())
	case errors.Is(err, consensus.ErrOutcomeUnknown):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	default:
		return status.Error(codes.Unavailable, err.Error())
	}
}
