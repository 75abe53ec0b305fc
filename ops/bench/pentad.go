package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/client"
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
	apis    [][]*client.Client // by server, by connection
	objects []*v1alpha1.Center // by client, as last written
	made    atomic.Int64       // objects that were created
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
	_, api, err := configs(operator)
	if err != nil {
		return err
	}
	creds := credentials.NewTLS(source.Client(identity.RoleServer))
	for i := range nodes {
		at := addresses[4*i:]
		if err := s.dial([]string{at[1]}, grpc.WithTransportCredentials(creds)); err != nil {
			return err
		}
		var clients []*client.Client
		for range connections {
			c, err := client.New(client.Config{Endpoints: []string{at[2]}, TLS: api})
			if err != nil {
				return err
			}
			clients = append(clients, c)
		}
		s.apis = append(s.apis, clients)
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

func (s *pentad) centers(server, of int) client.Resource[*v1alpha1.Center, *v1alpha1.CenterList] {
	return s.apis[server][of%connections].Centers()
}

// seed makes an object for each client, of that size as JSON.
func (s *pentad) seed(ctx context.Context, size int) error {
	s.objects = make([]*v1alpha1.Center, mostClients)
	for i := range mostClients {
		name := fmt.Sprintf("bench-%d-%03d", size, i)
		padding := 0
		for {
			object := &v1alpha1.Center{
				ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"bench": pad(0, 0, padding)}},
				Spec:       v1alpha1.CenterSpec{Region: "bench", Role: v1alpha1.CenterFull},
			}
			made, err := s.seedOne(ctx, object)
			if err != nil {
				return err
			}
			value, err := stored(made)
			if err != nil {
				return err
			}
			if len(value) >= size-8 {
				s.objects[i] = made
				break
			}
			padding += size - len(value)
			if err := s.centers(s.leader, 0).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// seedOne waits for the API, which opens a moment after the first leader is there.
func (s *pentad) seedOne(ctx context.Context, object *v1alpha1.Center) (*v1alpha1.Center, error) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		made, err := s.centers(s.leader, 0).Create(ctx, object, metav1.CreateOptions{})
		if err == nil || time.Now().After(deadline) || apierrors.IsInvalid(err) || ctx.Err() != nil {
			return made, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// stored is an object as the state machine keeps it: without the resourceVersion.
func stored(object *v1alpha1.Center) ([]byte, error) {
	object = object.DeepCopy()
	object.ResourceVersion = ""
	object.APIVersion, object.Kind = v1alpha1.GroupVersion.String(), v1alpha1.KindCenter
	return json.Marshal(object)
}

// pad is text of that length that differs from request to request.
func pad(client, i, length int) string {
	text := fmt.Sprintf("%d-%d-", client, i)
	return text + strings.Repeat("x", max(0, length-len(text)))
}

// updates writes each client's object through the API of one server.
func (s *pentad) updates(server int) operation {
	return func(ctx context.Context, client, i int) error {
		object := s.objects[client]
		object.Annotations["bench"] = pad(client, i, len(object.Annotations["bench"]))
		made, err := s.centers(server, client).Update(ctx, object, metav1.UpdateOptions{})
		if err == nil {
			s.objects[client] = made
		}
		return err
	}
}

// creates writes new objects of the same size through the API of one server.
func (s *pentad) creates(server int) operation {
	return func(ctx context.Context, client, i int) error {
		object := &v1alpha1.Center{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("made-%d", s.made.Add(1)), Annotations: s.objects[client].Annotations,
			},
			Spec: s.objects[client].Spec,
		}
		_, err := s.centers(server, client).Create(ctx, object, metav1.CreateOptions{})
		return err
	}
}

// reads reads each client's object through the API of one server.
func (s *pentad) reads(server int, stale bool) operation {
	options := metav1.GetOptions{}
	if stale {
		options.ResourceVersion = "0"
	}
	return func(ctx context.Context, client, i int) error {
		_, err := s.centers(server, client).Get(ctx, s.objects[client].Name, options)
		return err
	}
}

// proposals writes each client's object as the API would, below it: the method that servers forward writes by.
func (s *pentad) proposals() operation {
	return func(ctx context.Context, client, i int) error {
		object := s.objects[client]
		old := object.Annotations["bench"]
		object.Annotations["bench"] = pad(client, i, len(old))
		value, err := stored(object)
		if err != nil {
			return err
		}
		id := uuid.New()
		command, err := intent.Encode(&intentpb.Command{
			Id: id[:], ProposedAtUnixMs: time.Now().UnixMilli(),
			Operation: &intentpb.Command_Update{Update: &intentpb.Update{
				Kind: v1alpha1.KindCenter, Name: object.Name, Value: value, ExpectRevision: revision(object.ResourceVersion),
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
		object.ResourceVersion = fmt.Sprint(result.Revision)
		return nil
	}
}

var errRefused = errors.New("the command was refused")

func revision(resourceVersion string) (n uint64) {
	_, _ = fmt.Fscan(bytes.NewBufferString(resourceVersion), &n)
	return n
}

func (s *pentad) stop() {
	for _, clients := range s.apis {
		for _, c := range clients {
			c.Close()
		}
	}
	s.system.stop()
}
