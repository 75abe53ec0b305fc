package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/apiserver/storage"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

const (
	// enrolPause is between two rounds of asking, enrolPatience how long one server may take.
	enrolPause, enrolPatience = 100 * time.Millisecond, time.Second
	// enrolLog is how often a server that waits says for whom.
	enrolLog = 5 * time.Second
)

// ErrRemoved ends a server that is no member any more.
var ErrRemoved = errors.New("this server was removed from its estate")

// enrolment is whether this server is one of a cluster, and if not, what it waits for.
type enrolment struct {
	mu sync.Mutex
	// waits is empty when the server is enrolled.
	waits string
	done  chan struct{} // closed then
}

func newEnrolment(folder consensus.Folder) *enrolment {
	e := &enrolment{done: make(chan struct{}), waits: "it has not asked the other servers yet"}
	if folder.Cluster != "" {
		e.finish()
	}
	return e
}

func (e *enrolment) wait(why string) (news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	news, e.waits = e.waits != why, why
	return news
}

func (e *enrolment) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waits = ""
	close(e.done)
}

// pending is nil once the server is enrolled, else it says what is waited for.
func (e *enrolment) pending() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waits == "" {
		return nil
	}
	return errors.New("this server is enrolled in no cluster yet: " + e.waits)
}

// refusal is pending for who calls over gRPC.
func (e *enrolment) refusal() error {
	if err := e.pending(); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	return nil
}

// notEnrolled is pending for the API: nothing was read or written.
func (e *enrolment) notEnrolled() error {
	if err := e.pending(); err != nil {
		return fmt.Errorf("%w (%w)", storage.ErrNoQuorum, err)
	}
	return nil
}

// enrol returns when the server is one of a cluster, or never can be.
func (s *Core) enrol(ctx context.Context) error {
	if s.enrolment.pending() == nil {
		return s.bootstrapAgain()
	}
	if s.config.Join != nil {
		return s.join(ctx)
	}
	said := time.Time{}
	for ctx.Err() == nil {
		self := s.enrolRequest()
		v := decide(self, s.askAll(ctx, self))
		switch {
		case v.refused != nil:
			return &process.UsageError{Err: v.refused}
		case v.enrol != nil:
			return s.enrolIn(v.enrol.GetCluster(), v.enrol.GetRoster(), sameExpected(self.GetExpected(), v.enrol.GetExpected()))
		case v.found != nil:
			return s.enrolIn(uuid.NewString(), v.found, true)
		}
		why := "it waits for " + strings.Join(v.waits, "; ")
		if s.enrolment.wait(why) && len(v.waits) > 1 || time.Since(said) > enrolLog {
			s.log.Info("not enrolled in a cluster yet", "waits", why)
			said = time.Now()
		}
		pause(ctx, enrolPause)
	}
	return nil
}

// enrolIn makes this server one of a cluster, for good. The first voters begin their logs with the same entry.
func (s *Core) enrolIn(cluster string, roster map[string]string, begin bool) error {
	if err := s.node.Enroll(cluster, roster); err != nil {
		return fmt.Errorf("enrol in cluster %s: %w", cluster, err)
	}
	if begin {
		if err := s.bootstrap(roster); err != nil {
			return err
		}
	}
	s.enrolment.finish()
	s.log.Info("enrolled", "cluster", cluster, "folder", s.node.Folder().ID)
	return nil
}

// bootstrapAgain is for a server that stopped between its enrolment and its first entry.
func (s *Core) bootstrapAgain() error {
	if !s.node.Folder().Empty || !s.config.expects() {
		return nil
	}
	return s.bootstrap(s.node.Folder().Roster)
}

// bootstrap writes the first entry of the log, the list of voters, if the roster is that of the configuration.
func (s *Core) bootstrap(roster map[string]string) error {
	var members []consensus.Member
	for _, p := range s.config.Servers {
		if roster[p.Name] == "" {
			return nil // the others have it: it comes from them
		}
		members = append(members, consensus.Member{ID: p.Name, Address: p.Raft})
	}
	if len(members) != len(roster) || roster[s.config.Name] != s.node.Folder().ID {
		return nil
	}
	switch err := s.node.Bootstrap(members); {
	case err == nil, errors.Is(err, consensus.ErrBootstrapped), errors.Is(err, consensus.ErrStopped):
		return nil // stopped: it begins at the next start
	default:
		return fmt.Errorf("begin the log: %w", err)
	}
}

// enrolRequest is what this server says of itself.
func (s *Core) enrolRequest() *intentpb.EnrolRequest {
	return &intentpb.EnrolRequest{Server: s.self(), Expected: s.expected()}
}

// self is this server's record, as far as it knows itself.
func (s *Core) self() *intentpb.Server {
	at := s.config.advertised()
	return &intentpb.Server{
		Name: s.config.Name, Region: s.config.Region, Center: s.config.Center, Folder: s.node.Folder().ID,
		Raft: at.Raft, Grpc: at.GRPC, Api: at.API, Level: s.machine.Knows(), Version: process.Version(),
	}
}

func (s *Core) expected() []*intentpb.Expected {
	if !s.config.expects() {
		return nil
	}
	var list []*intentpb.Expected
	for _, p := range s.config.Servers {
		list = append(list, &intentpb.Expected{Name: p.Name, Raft: p.Raft})
	}
	return list
}

// askAll asks the servers of the configuration, at once.
func (s *Core) askAll(ctx context.Context, request *intentpb.EnrolRequest) map[string]asked {
	ctx, cancel := context.WithTimeout(ctx, enrolPatience)
	defer cancel()
	heard := map[string]asked{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, p := range s.peers.all() {
		group.Go(func() {
			answer, err := p.members.Enrol(ctx, request)
			if err != nil {
				answer = nil
			}
			mu.Lock()
			defer mu.Unlock()
			heard[p.Name] = asked{answer, brief(err)}
		})
	}
	group.Wait()
	return heard
}

// brief is an error as people can use it in a list.
func brief(err error) error {
	if s, ok := status.FromError(err); ok && err != nil {
		return errors.New(s.Message())
	}
	return err
}

// join comes into an estate that runs, with a token. Who refuses the token ends it.
func (s *Core) join(ctx context.Context) error {
	token, err := readToken(s.config.Join.TokenFile)
	if err != nil {
		return err
	}
	request := &intentpb.JoinRequest{Server: s.self(), Token: token}
	said := time.Time{}
	for ctx.Err() == nil {
		var waits []string
		for _, p := range s.peers.all() {
			answer, err := within(ctx, longest, func(ctx context.Context) (*intentpb.JoinResponse, error) {
				return p.members.Join(ctx, request)
			})
			switch status.Code(err) {
			case codes.OK:
				roster := answer.GetRoster()
				if _, first := roster[s.config.Name]; first {
					roster[s.config.Name] = "" // its first disk was lost
				}
				return s.enrolIn(answer.GetCluster(), roster, false)
			case codes.InvalidArgument:
				return process.Usagef("join: %w", brief(err))
			}
			waits = append(waits, fmt.Sprintf("server %s (%s)", p.Name, brief(err)))
		}
		why := "it waits to join through " + strings.Join(waits, "; ")
		if s.enrolment.wait(why); time.Since(said) > enrolLog {
			s.log.Info("not enrolled in a cluster yet", "waits", why)
			said = time.Now()
		}
		pause(ctx, enrolPause)
	}
	return nil
}

// readToken reads what `pentad member invite` printed.
func readToken(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, process.Usagef("join.tokenFile: %w", err)
	}
	token, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(token) != tokenSize {
		return nil, process.Usagef("join.tokenFile: %s holds no token: it must be one line, as `pentad member invite` prints it", path)
	}
	return token, nil
}

func within[T any](ctx context.Context, limit time.Duration, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// standing is what a server is to this one, with the folder by which its name is known.
func (s *Core) standing(name, folder string) (intentpb.Standing, string) {
	known := ""
	switch record := s.machine.Server(name); {
	case record.GetRemoved():
		return intentpb.Standing_STANDING_REMOVED, record.GetFolder()
	case record != nil:
		known = record.GetFolder()
	case !s.machine.Founded():
		known = s.node.Folder().Roster[name]
	}
	switch known {
	case "":
		return intentpb.Standing_STANDING_UNKNOWN, ""
	case folder:
		return intentpb.Standing_STANDING_MEMBER, known
	}
	return intentpb.Standing_STANDING_OTHER_FOLDER, known
}
