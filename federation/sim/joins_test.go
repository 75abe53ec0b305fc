package sim

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

// token is a new one, in a file.
func (op *operator) token(ctx context.Context) (*server.Join, bool) {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(op.rnd.Uint32())
	}
	path := filepath.Join(op.dir, fmt.Sprintf("token-%x", secret[:8]))
	op.check(os.WriteFile(path, []byte(base64.RawURLEncoding.EncodeToString(secret)), 0o600))
	author := author{op.rnd, func() time.Duration { return 0 }}
	ok := op.ask(ctx, func(ctx context.Context, l *life) error {
		command := author.command()
		command.Operation = &intentpb.Command_CreateToken{CreateToken: &intentpb.CreateToken{
			Token: intent.HashToken(secret), ExpiresAtUnixMs: time.Now().Add(time.Hour).UnixMilli(), Creator: "ops",
		}}
		result, err := l.core.Backend().Propose(ctx, command)
		if err == nil && !result.OK && !strings.Contains(result.Errors().ToAggregate().Error(), "Duplicate") {
			err = result.Errors().ToAggregate()
		}
		return err
	})
	return &server.Join{TokenFile: path}, ok
}

// joinsMost is how often a server may be refused that joins: a token whose answer was lost with the disk is spent.
const joinsMost = 5

// admit has a server without a disk join, under whatever name it had, and makes it a voter.
func (op *operator) admit(ctx context.Context, s *center) bool {
	for range joinsMost {
		s.bar(false)
		s.disk.wipe()
		if !op.change(ctx, intentpb.Order_ORDER_REMOVE, s.name) {
			return false
		}
		join, ok := op.token(ctx)
		if !ok {
			return false
		}
		s.unbar(join)
		refused := false
		joined := await(ctx, 200*time.Millisecond, func() bool {
			l := s.present()
			if l == nil {
				return false
			}
			refused = l.refused() != nil
			return refused || l.core.Node().Folder().Cluster != ""
		})
		if !joined {
			return false
		}
		if refused {
			op.oracle.count("joins refused")
			continue
		}
		op.oracle.count("servers joined")
		if !op.change(ctx, intentpb.Order_ORDER_PROMOTE, s.name) {
			return false
		}
		voter := await(ctx, 200*time.Millisecond, func() bool {
			l := op.leader()
			return l != nil && slices.ContainsFunc(l.core.Node().Status().Voters, func(m consensus.Member) bool { return m.ID == s.name })
		})
		s.mayEnd.Store(!voter)
		return voter
	}
	op.oracle.violated("%s was refused %d times with new tokens", s.name, joinsMost)
	return false
}

// refused is why a life has ended that never can be one of the estate; nil: it has not.
func (l *life) refused() error {
	select {
	case <-l.over:
	default:
		return nil
	}
	if refusal(l.err) {
		return l.err
	}
	return nil
}

// refusal says whether an error is that a server is none of the estate.
func refusal(err error) bool {
	var usage *process.UsageError
	return errors.As(err, &usage) || errors.Is(err, server.ErrRemoved)
}
