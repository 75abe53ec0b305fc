package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

// exitDisk is the exit status of a process that its disk ended; a supervisor starts it again.
const exitDisk = 3

func (s *Core) consensusConfig(metrics process.Metrics) consensus.Config {
	var voters []consensus.Member
	for _, p := range s.config.Servers {
		voters = append(voters, consensus.Member{ID: p.Name, Address: p.Raft})
	}
	return consensus.Config{
		ID: s.config.Name, Dir: filepath.Join(s.config.DataDir, "raft"), Listener: s.env.Raft, FS: s.env.FS,
		ServerTLS: s.env.RaftIdentity.Server(identity.RoleServer), ClientTLS: s.env.RaftIdentity.Client(identity.RoleServer),
		Voters: voters, BootstrapAlone: true, Machine: machine{s.machine}, HeartbeatTimeout: s.config.electionTimeout(),
		Dial: s.env.Dial, Logger: s.log, Metrics: metrics, Fatal: s.env.Fatal,
	}
}

// exit ends the process at once: nothing that was not yet acknowledged may be, after the disk failed.
func exit(log *slog.Logger, err error) {
	log.Error("the process ends: it can keep no promise any more", "error", err)
	os.Exit(exitDisk)
}

// newBackend connects, lazily, to the other servers.
func (s *Core) newBackend() (*backend, error) {
	b := &backend{
		node: s.node, machine: s.machine, vacancy: s.vacancy, peers: map[string]intentpb.IntentClient{},
		patience: electionsWaited * s.config.electionTimeout(), attempt: electionsWaited * s.config.electionTimeout(),
	}
	for _, p := range s.config.others() {
		conn, err := grpc.NewClient("passthrough:///"+p.GRPC,
			grpc.WithContextDialer(s.env.Dial), grpc.WithNoProxy(),
			grpc.WithTransportCredentials(credentials.NewTLS(s.env.Identity.Client(identity.RoleServer))),
			grpc.WithDisableServiceConfig(),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: time.Second},
				MinConnectTimeout: 2 * time.Second,
			}))
		if err != nil {
			return nil, err
		}
		s.peers = append(s.peers, conn)
		b.peers[p.Name] = intentpb.NewIntentClient(conn)
	}
	return b, nil
}
