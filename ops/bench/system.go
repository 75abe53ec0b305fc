package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
)

// system is one cluster under measurement: processes, and connections of the clients to each of them.
type system struct {
	name      string
	processes children
	pools     []pool // by process
	leads     func(ctx context.Context, server int) bool
	urls      []string // of etcd's clients
	admins    []string // addresses of Pentad's admin pages

	leader int
}

// await returns when one server says that it leads.
func (s *system) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		for i := range s.processes {
			once, cancel := context.WithTimeout(ctx, time.Second)
			leads := s.leads(once, i)
			cancel()
			if leads {
				s.leader = i
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s has no leader: %w", s.name, context.Cause(ctx)), s.processes.ended())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// follower is a server that does not lead.
func (s *system) follower() int { return (s.leader + 1) % len(s.processes) }

func (s *system) stop() {
	for _, p := range s.pools {
		p.close()
	}
	s.processes.kill()
}

// dial connects the clients to a server at each address.
func (s *system) dial(addresses []string, options ...grpc.DialOption) error {
	for _, address := range addresses {
		p, err := dialPool(address, options...)
		if err != nil {
			return err
		}
		s.pools = append(s.pools, p)
	}
	return nil
}

func (s *system) add(dir, name string, command ...string) {
	s.processes = append(s.processes, &child{
		name: s.name + " " + name, command: command, log: filepath.Join(dir, name+".log"),
	})
}

// up returns when a server that was started answers.
func (s *system) up(ctx context.Context, server int) error {
	for deadline := time.Now().Add(time.Minute); ; {
		once, cancel := context.WithTimeout(ctx, time.Second)
		_, err := s.counts(once, server)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("%s does not come up: %w", s.processes[server].name, err), s.processes.ended())
		}
		time.Sleep(20 * time.Millisecond)
	}
}
