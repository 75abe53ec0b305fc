package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"pentad.dev/pentad/process/loopback"
)

// twoLeadersInATerm stops n1 between winning term t and taking office, and has n2 send it a heartbeat of term t+1, in
// which n2 leads. n1 must not come out of it as another leader of t+1. (hashicorp/raft issue 695.)
func twoLeadersInATerm(t *testing.T, p plants) error {
	ca := newAuthority(t)
	var listeners []net.Listener
	var voters []Member
	for i := range 3 {
		l := loopback.Listen(t, loopback.Address(t))
		listeners = append(listeners, l)
		voters = append(voters, Member{ID: fmt.Sprint("n", i+1), Address: l.Addr().String()})
	}
	pause := &pausedAt{message: "election won", reached: make(chan struct{}), release: make(chan struct{})}
	var voterLines []*raft.NetworkTransport
	for i := 1; i < 3; i++ {
		server, client := ca.issue(t, voters[i].ID)
		cfg := Config{ID: voters[i].ID, Listener: listeners[i], ServerTLS: server, ClientTLS: client, Voters: voters}
		cfg = cfg.withDefaults()
		line := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: newStream(&cfg, parties{identity: func() (string, string, string) { return cfg.ID, "", aloneCluster(voters) }},
				nil, hclog.NewNullLogger()), Timeout: time.Minute, MaxPool: 2,
			Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true})
		defer line.Close()
		stop := make(chan struct{})
		defer close(stop)
		go sayYes(line, voters[i].ID, pause.reached, stop)
		voterLines = append(voterLines, line)
	}

	server, client := ca.issue(t, "n1")
	node, err := New(Config{ID: "n1", Dir: "data", Listener: listeners[0], ServerTLS: server, ClientTLS: client,
		Voters: voters, BootstrapAlone: true, Machine: newRegisters(), HeartbeatTimeout: 200 * time.Millisecond, FS: newMemFS(),
		Logger: slog.New(pause), break_: p})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	select {
	case <-pause.reached:
	case <-time.After(time.Minute):
		t.Fatal("n1 never won an election")
	}
	term := node.Status().Term + 1
	answered := make(chan error, 1)
	go func() {
		req := &raft.AppendEntriesRequest{RPCHeader: header("n2"), Term: term}
		var resp raft.AppendEntriesResponse
		err := voterLines[0].AppendEntries("n1", raft.ServerAddress(voters[0].Address), req, &resp)
		if err == nil && !resp.Success {
			err = errors.New("heartbeat refused")
		}
		answered <- err
	}()
	select {
	case <-answered: // beside the main loop, which stands still
		answered <- nil
	case <-time.After(p.patience(300*time.Millisecond, time.Minute)):
	}
	close(pause.release)
	if err := <-answered; err != nil {
		t.Errorf("heartbeat of term %d: %v", term, err)
	}
	for end := time.Now().Add(p.patience(300*time.Millisecond, 10*time.Second)); time.Now().Before(end); time.Sleep(time.Millisecond) {
		// In this order: raft leaves office before it raises the term.
		if s := node.raft.Load(); s.CurrentTerm() == term && s.State() == raft.Leader && s.CurrentTerm() == term {
			return fmt.Errorf("two leaders in term %d: n2, and n1, which won term %d", term, term-1)
		}
	}
	return nil
}

func header(id string) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(id)}
}

// sayYes is a voter that takes every entry, and grants every vote until somebody has won.
func sayYes(line *raft.NetworkTransport, id string, won, stop <-chan struct{}) {
	granted := func() bool {
		select {
		case <-won:
			return false
		default:
			return true
		}
	}
	for {
		select {
		case rpc := <-line.Consumer():
			switch req := rpc.Command.(type) {
			case *raft.RequestPreVoteRequest:
				rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: header(id), Term: req.Term, Granted: granted()}, nil)
			case *raft.RequestVoteRequest:
				rpc.Respond(&raft.RequestVoteResponse{RPCHeader: header(id), Term: req.Term, Granted: granted()}, nil)
			case *raft.AppendEntriesRequest:
				last := req.PrevLogEntry + uint64(len(req.Entries))
				rpc.Respond(&raft.AppendEntriesResponse{RPCHeader: header(id), Term: req.Term, LastLog: last, Success: true}, nil)
			default:
				rpc.Respond(nil, errors.New("unexpected"))
			}
		case <-stop:
			return
		}
	}
}

// pausedAt is a slog.Handler that stops whoever logs that message the first time, until it is released.
type pausedAt struct {
	message          string
	reached, release chan struct{}
	once             sync.Once
}

func (h *pausedAt) Enabled(context.Context, slog.Level) bool { return true }
func (h *pausedAt) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *pausedAt) WithGroup(string) slog.Handler            { return h }
func (h *pausedAt) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.once.Do(func() {
			close(h.reached)
			<-h.release
		})
	}
	return nil
}
