//go:build linux

package estate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/e2e-multicluster/disk"
	"pentad.dev/pentad/e2e-multicluster/netns"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

// Ports of every server.
const (
	RaftPort, GRPCPort, APIPort, AdminPort = "7001", "7002", "7003", "7004"
)

// Server is a federation server, running or not.
type Server struct {
	Name string
	process.Place
	Host   *netns.Host
	Disk   *disk.Disk
	estate *Estate
	config server.Config

	mu  sync.Mutex
	cmd *exec.Cmd
	// gone is closed when the process was collected.
	gone   chan struct{}
	status int // exit status, -1 for a signal
}

func (e *Estate) add(p process.Place) error {
	s := &Server{Name: p.Center, Place: p, Host: e.Net.Host(p.Center), estate: e}
	e.servers = append(e.servers, s)
	var err error
	if s.Disk, err = disk.New(e.path(disksFolder), s.Name, diskSize); err != nil {
		return err
	}
	address := s.Host.Address.String()
	certs, err := e.issue(e.all, s.Name, identity.RoleServer, s.Name, address)
	if err != nil {
		return err
	}
	raftCerts, err := e.issue(e.raft, s.Name+"-raft", identity.RoleServer, s.Name, address)
	if err != nil {
		return err
	}
	at := func(port string) string { return address + ":" + port }
	s.config = server.Config{
		Name: s.Name, Place: p, DataDir: s.Disk.Path + "/data",
		Listen:       server.Listen{Raft: at(RaftPort), GRPC: at(GRPCPort), API: at(APIPort), Admin: at(AdminPort)},
		Certificates: certs, RaftCertificates: raftCerts, APIClientCA: certs.CA,
	}
	if t := e.cfg.ElectionTimeout; t != 0 {
		s.config.ElectionTimeout = &metav1.Duration{Duration: t}
	}
	return nil
}

// writeConfig writes the configuration file with these servers in it.
func (s *Server) writeConfig(servers []*Server) error {
	s.config.Servers = nil
	for _, p := range servers {
		s.config.Servers = append(s.config.Servers, server.Peer{
			Name: p.Name, Place: p.Place, Raft: p.config.Listen.Raft, GRPC: p.config.Listen.GRPC,
		})
	}
	data, err := yaml.Marshal(s.config)
	if err != nil {
		return err
	}
	return os.WriteFile(s.ConfigFile(), data, 0o600)
}

// Configure changes the server's configuration for its next start.
func (s *Server) Configure(change func(*server.Config), servers ...*Server) error {
	change(&s.config)
	return s.writeConfig(servers)
}

// ConfigFile is the path of the server's configuration.
func (s *Server) ConfigFile() string { return s.estate.path("config", s.Name+".yaml") }

// LogFile is the path of what the server says, over all its starts.
func (s *Server) LogFile() string { return s.estate.path("logs", s.Name+".log") }

// DataDir is the server's folder.
func (s *Server) DataDir() string { return s.config.DataDir }

// API is the address of the server's API.
func (s *Server) API() string { return s.config.Listen.API }

// Start starts the process.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return fmt.Errorf("server %s runs already", s.Name)
	}
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.estate.binary, "server", "--config", s.ConfigFile())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // no Ctrl-C reaches it
	if err := s.Host.Start(cmd); err != nil {
		return fmt.Errorf("server %s: %w", s.Name, err)
	}
	gone := make(chan struct{})
	s.cmd, s.gone = cmd, gone
	go func() {
		_ = cmd.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cmd, s.status = nil, cmd.ProcessState.ExitCode()
		close(gone)
	}()
	return nil
}

// Running says whether there is a process.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil
}

// PID is the process's id, 0 without one.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Signal sends a signal to the process, if there is one, and returns what is closed at its end.
func (s *Server) Signal(signal syscall.Signal) (gone <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(signal)
	}
	return s.gone
}

// Kill kills the process, and returns when it is gone. One that waits for a hung disk cannot be killed.
func (s *Server) Kill() {
	if gone := s.Signal(syscall.SIGKILL); gone != nil {
		<-gone
	}
}

// Ended waits for the process's end and returns its exit status, -1 for a signal.
func (s *Server) Ended(ctx context.Context) (status int, err error) {
	s.mu.Lock()
	gone := s.gone
	s.mu.Unlock()
	select {
	case <-gone:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.status, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("server %s does not end: %w", s.Name, ctx.Err())
	}
}

// close ends the process for good, also one that waits for a hung disk.
func (s *Server) close() error {
	if s.Disk != nil {
		_ = s.Disk.Thaw() // it says so when it was not frozen
	}
	gone := s.Signal(syscall.SIGKILL)
	if gone == nil {
		return nil
	}
	select {
	case <-gone:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("server %s cannot be killed", s.Name)
	}
}

// Status is the admin page's.
func (s *Server) Status(ctx context.Context) (status server.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.config.Listen.Admin+"/status", nil)
	if err != nil {
		return status, err
	}
	response, err := adminClient.Do(request)
	if err != nil {
		return status, err
	}
	defer response.Body.Close()
	return status, json.NewDecoder(response.Body).Decode(&status)
}

// adminClient keeps no connection: the other end is killed and cut off at will.
var adminClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Said returns the lines of the server's log that hold the text.
func (s *Server) Said(text string) []string {
	data, _ := os.ReadFile(s.LogFile())
	var lines []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, text) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
