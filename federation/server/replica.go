package server

import (
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// exitDisk is the exit status of a process that its disk ended; a supervisor starts it again.
const exitDisk = 3

func (s *Core) consensusConfig(metrics process.Metrics) consensus.Config {
	var voters []consensus.Member
	for _, p := range s.config.Servers {
		voters = append(voters, consensus.Member{ID: p.Name, Address: p.Raft})
	}
	if at := s.config.advertised().Raft; s.config.Join != nil && !slices.ContainsFunc(voters, s.isSelf) {
		voters = append(voters, consensus.Member{ID: s.config.Name, Address: at})
	}
	return consensus.Config{
		ID: s.config.Name, Dir: filepath.Join(s.config.DataDir, "raft"), Listener: s.env.Raft, FS: s.env.FS,
		ServerTLS: s.env.RaftIdentity.Server(identity.RoleServer), ClientTLS: s.env.RaftIdentity.Client(identity.RoleServer),
		CertificateOf: certificateOf,
		Voters:        voters, Machine: machine{s.machine}, HeartbeatTimeout: s.config.electionTimeout(),
		Dial: s.env.Dial, Logger: s.log, Metrics: metrics, Fatal: s.env.Fatal,
	}
}

// certificateOf is the server that a certificate was issued for.
func certificateOf(cert *x509.Certificate) (string, error) {
	id, err := identity.FromCertificate(cert)
	return id.Name, err
}

func (s *Core) isSelf(m consensus.Member) bool { return m.ID == s.config.Name }

// exit ends the process at once: nothing that was not yet acknowledged may be, after the disk failed.
func exit(log *slog.Logger, err error) {
	log.Error("the process ends: it can keep no promise any more", "error", err)
	os.Exit(exitDisk)
}

// newBackend is of the node that is open.
func (s *Core) newBackend() *backend {
	return &backend{
		node: s.node, machine: s.machine, vacancy: s.vacancy, peers: s.peers, check: s.check, enrolled: s.enrolment.notEnrolled,
		patience: electionsWaited * s.config.electionTimeout(), attempt: electionsWaited * s.config.electionTimeout(),
	}
}
