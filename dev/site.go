package dev

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
)

// Config says what to run and where.
type Config struct {
	// Estate is the path of the estate file; empty: the one that is built in.
	Estate string
	// Data is the data folder. It is made if it is not there.
	Data string
	// Binary is the executable that has the subcommands server, relay, agent, sample and load. Empty: this one.
	Binary string
	// Out gets progress and directions, for a person.
	Out io.Writer
	Log *slog.Logger
	// Notify, if not nil, is told of every start and end of a process. It must not block, nor call the Site.
	Notify func(Event)
	// StopGrace is how long a process may take to stop before it is killed; 0: two seconds.
	StopGrace time.Duration
	// Asynchronous plants a fault in all stores, for drills: see ledger.Config.
	Asynchronous bool
	// SkipDeclare leaves out the declaration of centers and clusters: for processes that have no API.
	SkipDeclare bool
}

// owner marks the data folder of a Site.
const owner = "dev estate"

// Site is an estate on this machine: everything is prepared by Open, and runs from Up to Down.
type Site struct {
	cfg        Config
	estate     *Estate
	dir        *process.DataDir
	ports      *ports
	certs      *certificates
	supervisor *Supervisor
	operator   identity.Files
	apis       []api
	centers    map[string]*center
	stores     []sample.StoreConfig
	// webhooks are the addresses of the stores' members for their agents, by store and center.
	webhooks map[string]map[string]string
	cutting  sync.Mutex
	cuts     []cut.Between
	closing  sync.Once
	declared bool
}

// center is what a Site keeps of each center.
type center struct {
	Place
	relays   []string // gRPC addresses
	agent    string   // gRPC address, where there are stores
	registry *Registry
}

// Open takes the data folder and writes everything that the processes need; it starts nothing. Errors of the user's (a
// wrong estate file, a folder in use, of another version or another estate, a busy port) are process.UsageErrors.
func Open(cfg Config) (*Site, error) {
	estate, err := ReadEstate(cfg.Estate)
	if err != nil {
		return nil, err
	}
	if cfg.Data == "" {
		return nil, process.Usagef("data folder: must be named")
	}
	if cfg.Data, err = filepath.Abs(cfg.Data); err != nil {
		return nil, err
	}
	if cfg.Binary == "" {
		if cfg.Binary, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	dir, err := process.OpenDataDir(cfg.Data, owner)
	if err != nil {
		return nil, err
	}
	s := &Site{cfg: cfg, estate: estate, dir: dir, centers: map[string]*center{}}
	if err := s.prepare(); err != nil {
		dir.Close()
		return nil, err
	}
	return s, nil
}

func (s *Site) prepare() error {
	if err := s.claim(); err != nil {
		return err
	}
	for _, folder := range []string{"config", "logs", "registry", "records", "state"} {
		if err := os.MkdirAll(s.path(folder), 0o755); err != nil {
			return err
		}
	}
	var err error
	if s.ports, err = openPorts(s.path("ports.yaml")); err != nil {
		return err
	}
	if s.certs, err = openCertificates(s.path("certificates"), s.estate.TrustDomain); err != nil {
		return err
	}
	if s.operator, err = s.certs.issue("operator", identity.RoleOperator, operatorName, adminsGroup); err != nil {
		return err
	}
	notify := s.cfg.Notify
	if notify == nil {
		notify = func(Event) {}
	}
	s.supervisor = newSupervisor(s.cfg.Binary, s.path("logs"), cmp.Or(s.cfg.StopGrace, stopGrace), s.cfg.Log, notify)
	if err := s.layout(); err != nil {
		s.supervisor.Close()
		return err
	}
	return errors.Join(s.Heal(), s.ports.save(), writeKubeconfig(s.Kubeconfig(), s.apis, s.operator))
}

// claim keeps a data folder to the estate that it was made for: voters and ports are in its logs.
func (s *Site) claim() error {
	path := s.path("estate.yaml")
	have, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		data, err := yaml.Marshal(s.estate)
		if err != nil {
			return err
		}
		return replaceFile(path, data, 0o644)
	}
	if err != nil {
		return err
	}
	made := &Estate{}
	if err := process.ParseConfig(path, have, made); err != nil {
		return err
	}
	if !reflect.DeepEqual(made, s.estate) {
		return process.Usagef("data folder %s was made for another estate (%s): use that file, or another data folder",
			s.cfg.Data, path)
	}
	return nil
}

func (s *Site) path(parts ...string) string {
	return filepath.Join(append([]string{s.cfg.Data}, parts...)...)
}

// Close kills what still runs and gives the data folder back. It may be called again.
func (s *Site) Close() {
	s.closing.Do(func() {
		s.supervisor.Close()
		s.dir.Close()
	})
}

// Supervisor controls the processes.
func (s *Site) Supervisor() *Supervisor { return s.supervisor }

// Estate is what the estate file says.
func (s *Site) Estate() *Estate { return s.estate }

// Kubeconfig is the path of the file for kubectl, with a context for each server.
func (s *Site) Kubeconfig() string { return s.path("kubeconfig") }

// Records is the folder of the load generators' files.
func (s *Site) Records() string { return s.path("records") }

// Registry is the registry file of a center's cluster.
func (s *Site) Registry(center string) *Registry { return s.centers[center].registry }

// API are the addresses of all servers' APIs, in the order of the estate file.
func (s *Site) API() []string {
	var addresses []string
	for _, a := range s.apis {
		addresses = append(addresses, a.address)
	}
	return addresses
}

// Operator is the identity in the kubeconfig, of the group of admins.
func (s *Site) Operator() identity.Files { return s.operator }

// Workload is the identity of a center's client.
func (s *Site) Workload(center string) identity.Files { return s.certs.files(LoadName(center)) }

// Relays are the gRPC addresses of a center's relays.
func (s *Site) Relays(center string) []string { return s.centers[center].relays }

// Admin is the address of a process's admin page.
func (s *Site) Admin(name string) string {
	status, ok := s.supervisor.Status(name)
	if !ok {
		return ""
	}
	for _, l := range status.Spec.Listeners {
		if l.Name == adminListener {
			return l.Address
		}
	}
	return ""
}

// ErrEnded is the error of a process that ended before it was ready.
var ErrEnded = errors.New("ended before it was ready")

// errNotUp is ErrEnded with the process.
type errNotUp struct{ name, exit, log string }

func (e errNotUp) Unwrap() error { return ErrEnded }

func (e errNotUp) Error() string {
	return fmt.Sprintf("%s %s (%s), see %s", e.name, ErrEnded, e.exit, e.log)
}
