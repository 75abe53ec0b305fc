package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

// pentad is a cluster of real servers, with clients of their API beside those of their gRPC.
type pentad struct {
	system
	api
}

// mostClients is how many clients there are at most; each writes an object of its own.
const mostClients = 128

func startPentad(dir, binary string, nodes int, certs *certificates) (*pentad, error) {
	s := &pentad{system: system{name: "pentad"}}
	addresses, err := freeAddresses(4 * nodes)
	if err != nil {
		return nil, err
	}
	var peers []server.Peer
	for i := range nodes {
		at := addresses[4*i:]
		peers = append(peers, server.Peer{Name: nodeID(i), Place: place(i), Raft: at[0], GRPC: at[1]})
	}
	for i := range nodes {
		files, err := certs.issue(identity.RoleServer, nodeID(i))
		if err != nil {
			return nil, err
		}
		at := addresses[4*i:]
		config := &server.Config{
			Name: nodeID(i), Place: place(i), DataDir: filepath.Join(dir, nodeID(i)),
			Listen:       server.Listen{Raft: at[0], GRPC: at[1], API: at[2], Admin: at[3]},
			Certificates: files, RaftCertificates: files, APIClientCA: files.CA, Servers: peers,
		}
		file := filepath.Join(dir, nodeID(i)+".yaml")
		if err := writeConfig(file, config); err != nil {
			return nil, err
		}
		s.admins = append(s.admins, at[3])
		s.add(dir, nodeID(i), binary, "server", "--config", file, "--log-level", "warn")
	}
	if err := s.connect(certs, addresses, nodes); err != nil {
		return nil, err
	}
	return s, s.processes.start()
}

func place(i int) process.Place {
	return process.Place{Region: fmt.Sprintf("region-%d", i+1), Center: nodeID(i)}
}

func writeConfig(file string, config process.Validator) error {
	if err := config.Validate(); err != nil {
		return err
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// connect makes the clients: a server's certificate for what servers ask each other, an operator's for the API.
func (s *pentad) connect(certs *certificates, addresses []string, nodes int) error {
	files, err := certs.issue(identity.RoleServer, "client")
	if err != nil {
		return err
	}
	operator, err := certs.issue(identity.RoleOperator, "client", "pentad:admins")
	if err != nil {
		return err
	}
	source, err := identity.Load(files)
	if err != nil {
		return err
	}
	_, operators, err := configs(operator)
	if err != nil {
		return err
	}
	creds := credentials.NewTLS(source.Client(identity.RoleServer))
	for i := range nodes {
		at := addresses[4*i:]
		if err := s.dial([]string{at[1]}, grpc.WithTransportCredentials(creds)); err != nil {
			return err
		}
		if err := s.dialAPI(at[2], operators); err != nil {
			return err
		}
	}
	s.leads = func(ctx context.Context, server int) bool {
		_, err := s.servers(server, 0).ReadRevision(ctx, &intentpb.ReadRevisionRequest{})
		return err == nil
	}
	return nil
}

func (s *pentad) servers(server, client int) intentpb.IntentClient {
	return intentpb.NewIntentClient(s.pools[server].of(client))
}

// draft is a client's object as it is stored, with the part of it that each request writes anew: the load generator
// does for Pentad what it does for its peer, and no more.
type draft struct {
	value, written []byte
	revision       uint64
}

func (s *pentad) draft(client int) (*draft, error) {
	object := s.objects[client]
	value, err := stored(object)
	if err != nil {
		return nil, err
	}
	text := []byte(object.Annotations["bench"])
	at := bytes.Index(value, text)
	if len(text) == 0 || at < 0 {
		return nil, fmt.Errorf("%s: %w", object.Name, errNoRoom)
	}
	return &draft{value: value, written: value[at : at+len(text)], revision: revision(object.ResourceVersion)}, nil
}

// proposals writes each client's object as the API would, below it: the method that servers forward writes by.
func (s *pentad) proposals() operation {
	var drafts [mostClients]*draft // each its client's own
	return func(ctx context.Context, client, i int) (err error) {
		object, d := s.objects[client], drafts[client]
		if d == nil {
			if d, err = s.draft(client); err != nil {
				return err
			}
			drafts[client] = d
		}
		copy(d.written, fmt.Appendf(nil, "%04d-%010d", client, i))
		id := uuid.New()
		command, err := intent.Encode(&intentpb.Command{
			Id: id[:], ProposedAtUnixMs: time.Now().UnixMilli(),
			Operation: &intentpb.Command_Update{Update: &intentpb.Update{
				Kind: v1alpha1.KindCenter, Name: object.Name, Value: d.value, ExpectRevision: d.revision,
			}},
		})
		if err != nil {
			return err
		}
		answer, err := s.servers(s.leader, client).Propose(ctx, &intentpb.ProposeRequest{Command: command})
		if err != nil {
			return err
		}
		result, err := intent.DecodeResult(answer.GetResult())
		if err != nil {
			return err
		}
		if !result.OK {
			return fmt.Errorf("%w: %+v", errRefused, result)
		}
		d.revision = result.Revision
		object.ResourceVersion = strconv.FormatUint(result.Revision, 10)
		return nil
	}
}

var (
	errRefused = errors.New("the command was refused")
	errNoRoom  = errors.New("its annotation cannot be found in what is stored")
)

func revision(resourceVersion string) (n uint64) {
	_, _ = fmt.Fscan(bytes.NewBufferString(resourceVersion), &n)
	return n
}

func (s *pentad) stop() {
	s.hangUp()
	s.system.stop()
}
