package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/consensus"
)

// nodeCommand makes this binary a log node.
const nodeCommand = "log-node"

const (
	logService = "pentad.bench.Log"
	logPut     = "/" + logService + "/Put"
	logGet     = "/" + logService + "/Get"
	// logConfirm succeeds only at the leader: a confirmed ReadIndex, whose index is the answer.
	logConfirm = "/" + logService + "/Confirm"
	// logCounts are a node's numbers.
	logCounts = "/" + logService + "/Counts"
)

// node is a log node: consensus, a map, and three methods.
type node struct {
	config    NodeConfig
	consensus *consensus.Node
	table     *table
	peers     map[string]pool
	counts    func() (Counts, error)
}

func runNode(ctx context.Context, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	n := &node{table: newTable()}
	if err := json.Unmarshal(data, &n.config); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	n.table.slow = n.config.SlowApply
	server, client, err := configs(n.config.Files)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", n.config.Raft[n.config.ID])
	if err != nil {
		return err
	}
	config := consensus.Config{
		ID: n.config.ID, Dir: n.config.Dir, Listener: listener, ServerTLS: server, ClientTLS: client,
		Voters: n.config.members(), BootstrapAlone: true, Machine: n.table, HeartbeatTimeout: n.config.Election,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if n.config.Delays != nil {
		config.Dial = delayed(n.config.Delays)
	}
	config.Metrics, n.counts = newCounts()
	if n.consensus, err = consensus.New(config); err != nil {
		return err
	}
	n.peers = map[string]pool{}
	for id, address := range n.config.GRPC {
		if n.peers[id], err = dialPool(address, grpc.WithTransportCredentials(credentials.NewTLS(client))); err != nil {
			return err
		}
	}
	clients, err := net.Listen("tcp", n.config.GRPC[n.config.ID])
	if err != nil {
		return err
	}
	serving := grpc.NewServer(grpc.Creds(credentials.NewTLS(server)), grpc.ForceServerCodecV2(raw{}))
	serving.RegisterService(&grpc.ServiceDesc{
		ServiceName: logService, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			method("Put", n.put), method("Get", n.get), method("Confirm", n.confirm), method("Counts", n.count),
		},
	}, n)
	go func() { _ = serving.Serve(clients) }()
	defer serving.Stop()
	go profileOnSignal(n.config.Profile)
	return n.consensus.Run(ctx)
}

// profileOnSignal writes a CPU profile from SIGUSR1 to SIGUSR2.
func profileOnSignal(file string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	for s := range signals {
		if s == syscall.SIGUSR2 {
			pprof.StopCPUProfile()
			continue
		}
		if f, err := os.Create(file); err == nil {
			_ = pprof.StartCPUProfile(f)
		}
	}
}

// method is a method of a service whose messages stay encoded.
func method(name string, handle func(context.Context, []byte) ([]byte, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error,
		_ grpc.UnaryServerInterceptor) (any, error) {
		var request []byte
		if err := decode(&request); err != nil {
			return nil, err
		}
		response, err := handle(ctx, request)
		return &response, err
	}}
}

// put is answered when the command is committed and applied at the leader, whoever took it.
func (n *node) put(ctx context.Context, request []byte) ([]byte, error) {
	if !n.consensus.IsLeader() {
		return n.forward(ctx, logPut, request)
	}
	_, result, err := n.consensus.Propose(ctx, request)
	return result, err
}

var forwards struct {
	mu   sync.Mutex
	next int
}

func (n *node) forward(ctx context.Context, method string, request []byte) ([]byte, error) {
	leader, _, _ := n.consensus.Leader()
	p, there := n.peers[leader]
	if !there || leader == n.config.ID {
		return nil, errors.New("no leader is known")
	}
	forwards.mu.Lock()
	forwards.next++
	i := forwards.next
	forwards.mu.Unlock()
	return p.invoke(ctx, i, method, request)
}

// confirm returns the index that a read that began now must see.
func (n *node) confirm(ctx context.Context, _ []byte) ([]byte, error) {
	index, err := n.consensus.ReadIndex(ctx)
	return number(nil, 1, index), err
}

// get reads linearizably unless it is asked for a stale read.
func (n *node) get(ctx context.Context, request []byte) ([]byte, error) {
	key, _, _, err := lookup(request, 1)
	if err != nil {
		return nil, err
	}
	if _, stale, _, _ := lookup(request, 7); stale == 0 {
		if err := n.linearize(ctx); err != nil {
			return nil, err
		}
	}
	return field(nil, 1, n.table.get(key)), nil
}

func (n *node) linearize(ctx context.Context) error {
	if n.consensus.IsLeader() {
		_, err := n.consensus.ReadIndex(ctx)
		return err
	}
	leader, _, _ := n.consensus.Leader()
	index, err := n.consensus.ReadThrough(ctx, leader, func(ctx context.Context) (uint64, error) {
		answer, err := n.forward(ctx, logConfirm, nil)
		if err != nil {
			return 0, err
		}
		_, index, _, err := lookup(answer, 1)
		return index, err
	})
	if err != nil {
		return err
	}
	return n.consensus.WaitApplied(ctx, index)
}

func (n *node) count(context.Context, []byte) ([]byte, error) {
	counts, err := n.counts()
	if err != nil {
		return nil, err
	}
	counts.Applied = n.table.applied()
	return json.Marshal(counts)
}

// table is the state machine: a map.
type table struct {
	slow time.Duration

	mu     sync.RWMutex
	values map[string][]byte
	last   uint64
}

func newTable() *table { return &table{values: map[string][]byte{}} }

// Apply implements consensus.StateMachine.
func (t *table) Apply(index uint64, command []byte) []byte {
	key, _, _, err := lookup(command, 1)
	if err != nil {
		panic(err)
	}
	value, _, _, err := lookup(command, 2)
	if err != nil {
		panic(err)
	}
	time.Sleep(t.slow)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.values[string(key)] = value
	t.last = index
	return number(nil, 1, index)
}

func (t *table) get(key []byte) []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.values[string(key)]
}

func (t *table) applied() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last
}

// Snapshot implements consensus.StateMachine.
func (t *table) Snapshot() (consensus.Snapshot, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	data, err := json.Marshal(struct {
		Values map[string][]byte
		Last   uint64
	}{t.values, t.last})
	return copied(data), err
}

// Restore implements consensus.StateMachine.
func (t *table) Restore(in io.Reader) error {
	var state struct {
		Values map[string][]byte
		Last   uint64
	}
	if err := json.NewDecoder(in).Decode(&state); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.values, t.last = state.Values, state.Last
	return nil
}

// copied is a snapshot that was encoded when it was made.
type copied []byte

// WriteTo implements consensus.Snapshot.
func (c copied) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c)
	return int64(n), err
}

// Release implements consensus.Snapshot.
func (copied) Release() {}
