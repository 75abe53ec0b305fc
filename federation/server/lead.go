package server

import (
	"context"
	"sync"
	"time"

	"pentad.dev/pentad/federation/controller"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// asksWithin bounds a round of asking all servers what they hear of sessions: who does not answer is left out.
const asksWithin = 300 * time.Millisecond

func (s *Core) openController() (err error) {
	s.controller, err = controller.New(controller.Config{
		Machine: s.machine, Propose: s.proposeHere, Progress: s.allProgress, Hearings: s.allHearings, Feeds: s.feeds, Log: s.log,
	})
	return err
}

// proposeHere proposes at this node alone: what a leader has waited for is no business of its successor's.
func (s *Core) proposeHere(ctx context.Context, command *intentpb.Command) (intent.Result, error) {
	data, err := intent.Encode(command)
	if err != nil {
		return intent.Result{}, err
	}
	result, err := s.backend.propose(ctx, data)
	if err != nil {
		return intent.Result{}, err
	}
	return intent.DecodeResult(result)
}

// check says whether an encoded command may go into the log.
func (s *Core) check(data []byte) error {
	if s.env.Adjust.Careless.Ungated {
		return nil
	}
	return s.machine.Check(data)
}

// allProgress asks all servers what they hear of sessions.
func (s *Core) allProgress(ctx context.Context) []*intentpb.SessionProgress {
	ctx, cancel := context.WithTimeout(ctx, asksWithin)
	defer cancel()
	all := progress(s.permits)
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, peer := range s.peers.all() {
		group.Go(func() {
			answer, err := peer.intent.Progress(ctx, &intentpb.ProgressRequest{})
			if err != nil {
				return // out of reach, like those who ask it
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, answer.GetSessions()...)
		})
	}
	group.Wait()
	return all
}

// lead runs the controller whenever, and as long as, this node leads.
func (s *Core) lead(ctx context.Context) error {
	for {
		leadership, changed := s.node.Leadership()
		if leadership.Local && ctx.Err() == nil {
			s.leadTerm(ctx, leadership.Term)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// leadTerm runs the controller until the leadership in that term ends.
func (s *Core) leadTerm(ctx context.Context, term uint64) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	r := newReign(time.Now())
	s.reign.Store(r)
	s.warnOfPermits()
	defer s.reign.Store(nil)
	go func() {
		defer close(done)
		var group sync.WaitGroup
		group.Go(func() { s.steward(ctx, r) })
		s.controller.Lead(ctx, term)
		group.Wait()
	}()
	for {
		leadership, changed := s.node.Leadership()
		if !leadership.Local || leadership.Term != term || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	cancel()
	<-done
}
