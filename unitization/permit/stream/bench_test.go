package stream

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/switchover"
)

const (
	benchRelays = 10
	benchGuards = 1000
)

// spread is an estate of guards behind relays behind one server.
type spread struct {
	a      *authority
	relays []*relay
	guards []*guard
	closed atomic.Int64
	all    chan struct{}
}

// benchNetwork has servers that send no pings: two thousand connections on a machine that is busy would be lost to them.
func benchNetwork() *network {
	n := newNetwork()
	n.options = []grpc.ServerOption{grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
		MinTime: time.Second, PermitWithoutStream: true,
	})}
	return n
}

// newSpread waits until every guard has a permit and every relay may acknowledge.
func newSpread(b *testing.B, services int) *spread {
	n := benchNetwork()
	s := &spread{a: newAuthority(), all: make(chan struct{}, 1)}
	n.root(b, "server", s.a, 0)
	rules := &permitpb.RulesResponse{Rules: []*permitpb.Rules{{Unitization: "users", Shards: 100, Header: "x-user-id"}}}
	for i := range services {
		rules.Rules[0].Services = append(rules.Rules[0].Services, &permitpb.Service{Name: fmt.Sprint("service-", i)})
	}
	never := make(chan struct{})
	tell := func() (*permitpb.RulesResponse, <-chan struct{}) { return rules, never }
	for i := range benchRelays {
		s.relays = append(s.relays, n.relay(b, fmt.Sprint("relay-", i), fmt.Sprint("s", i), tell, "server"))
	}
	for i := range benchGuards {
		g := n.guard(b, fmt.Sprint("guard-", i), fmt.Sprint("relay-", i%benchRelays))
		s.guards = append(s.guards, g)
		if i < benchRelays { // each relay tells its rules, too
			c := must(NewRulesClient(RulesConfig{
				Peers: peersOf([]string{fmt.Sprint("relay-", i)}), Dial: n.dial, Take: func(*permitpb.RulesResponse) {},
			}))
			b.Cleanup(running(c.Run))
		}
	}
	eventually(b, "all guards have permits", time.Minute, func() bool {
		for _, g := range s.guards {
			if !g.open() {
				return false
			}
		}
		return true
	})
	for i := range s.guards {
		g := s.guards[i]
		go func() {
			for range g.frozen {
				if s.closed.Add(1)%benchGuards == 0 {
					s.all <- struct{}{}
				}
			}
		}()
		b.Cleanup(func() { g.stop(); close(g.frozen) })
	}
	time.Sleep(settled) // relays acknowledge nothing before
	return s
}

// freeze returns how long a freeze took to the last guard, and how long until the log knew of all relays.
func (s *spread) freeze(b *testing.B) (toGuards, toLog time.Duration) {
	begun := time.Now()
	f := s.a.freeze()
	<-s.all
	toGuards = time.Since(begun)
	for s.a.acked(f) < benchRelays {
		if time.Since(begun) > time.Minute {
			b.Fatal("not acknowledged")
		}
		time.Sleep(200 * time.Microsecond)
	}
	toLog = time.Since(begun)
	s.a.thaw()
	for _, g := range s.guards {
		for !g.open() {
			time.Sleep(time.Millisecond)
		}
	}
	return toGuards, toLog
}

// pings is the floor: a hundred callers a server, each with an open stream, are answered once over the same transport;
// the same number of messages that must go out to guards and come back.
type pings struct {
	streams []permitpb.Permits_HoldClient
}

func newPings(b *testing.B) *pings {
	n, p := benchNetwork(), &pings{}
	for i := range benchRelays {
		l := &liar{hints: make(chan struct{}), answer: func(ask *permitpb.Ask) *permitpb.Answer {
			return &permitpb.Answer{Number: ask.Number}
		}}
		b.Cleanup(n.serve(fmt.Sprint("ping-", i), must(NewServer(ServerConfig{Grantor: l, Authorize: anyone}))))
	}
	for i := range benchGuards {
		conn := must(Dial(peer(fmt.Sprint("ping-", i%benchRelays)), n.dial))
		b.Cleanup(func() { conn.Close() })
		stream := must(permitpb.NewPermitsClient(conn).Hold(context.Background()))
		stream.Send(openMessage(&permitpb.Open{Session: "s", Name: "p"}))
		p.streams = append(p.streams, stream)
	}
	return p
}

func (p *pings) round(b *testing.B, number uint64) time.Duration {
	begun := time.Now()
	var wg sync.WaitGroup
	for _, s := range p.streams {
		wg.Go(func() {
			if s.Send(askMessage(number)) != nil {
				b.Error("ping: not sent")
			} else if _, err := s.Recv(); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

// BenchmarkFreezeToThousandGuards is how long a freeze takes from its entry to the last of 1,000 guards over ten
// relays, through real hops and streams, and until the log has every relay's acknowledgement; beside the floor in the
// same process, a thousand bare requests and answers over as many open streams. (A freeze is a hint, a request and an
// answer down, and a request and an answer up.) It is the same with 10 and with 10,000 services.
func BenchmarkFreezeToThousandGuards(b *testing.B) {
	for _, services := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("%d services", services), func(b *testing.B) {
			s, p := newSpread(b, services), newPings(b)
			p.round(b, 1)
			var guards, log, floor time.Duration
			rounds := 0
			for b.Loop() {
				rounds++
				g, l := s.freeze(b)
				guards, log, floor = guards+g, log+l, floor+p.round(b, uint64(rounds)+1)
			}
			ms := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(rounds) }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ms(guards), "ms/guards")
			b.ReportMetric(ms(log), "ms/acknowledged")
			b.ReportMetric(ms(floor), "ms/floor")
			b.ReportMetric(float64(guards)/float64(floor), "guards/floor")
		})
	}
}

// BenchmarkPermitRound is a round of permits for a thousand sessions that ask at once, and how many linearizable reads
// it took, beside the floor: as many answers without any read.
func BenchmarkPermitRound(b *testing.B) {
	a := newAuthority()
	a.delay = time.Millisecond
	r := must(NewRoot(RootConfig{Authority: a}))
	b.Cleanup(running(r.Run))
	var leases []Lease
	a.commit(func(s *switchover.State) {
		for i := range 1000 {
			session := must(permit.SessionOf(relayOpen(fmt.Sprint("s", i))))
			s.Sessions[session.ID] = &session
		}
	})
	for i := range 1000 {
		leases = append(leases, must(r.Open(context.Background(), relayOpen(fmt.Sprint("s", i)))))
	}
	var ours, floor time.Duration
	rounds, before := 0, a.reads
	for b.Loop() {
		rounds++
		begun := time.Now()
		var wg sync.WaitGroup
		for _, l := range leases {
			wg.Go(func() { must(l.Answer(context.Background(), &permitpb.Ask{Number: uint64(rounds)})) })
		}
		wg.Wait()
		between := time.Now()
		for range leases {
			wg.Go(func() {
				s, at, _ := a.State()
				permit.TermsOf(s, switchover.Relay, "hz-a", nil).Answer(1, at)
			})
		}
		wg.Wait()
		ours, floor = ours+between.Sub(begun), floor+time.Since(between)
	}
	b.ReportMetric(float64(a.reads-before)/float64(rounds), "reads/round")
	b.ReportMetric(float64(ours)/float64(floor), "round/floor")
}
