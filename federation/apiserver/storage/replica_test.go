package storage

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// replica is a Backend without replication: one real state machine, to which commands are applied at once.
type replica struct {
	t   testing.TB
	fsm *intent.FSM
	mu  sync.Mutex
	log [][]byte
	// propose, when set, is asked first; read is what ReadRevision fails with.
	propose func(*intentpb.Command) error
	read    error
}

// marks is a kind whose only use is to move the revision.
const marks = "Mark"

func newReplica(t testing.TB, unchecked ...string) *replica {
	t.Helper()
	fsm, err := intent.New(intent.Config{Unchecked: append(unchecked, marks)})
	if err != nil {
		t.Fatal(err)
	}
	return &replica{t: t, fsm: fsm}
}

func (r *replica) State() *intent.FSM { return r.fsm }

func (r *replica) ReadRevision(context.Context) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fsm.Revision(), r.read
}

func (r *replica) Propose(_ context.Context, command *intentpb.Command) (intent.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.propose != nil {
		if err := r.propose(command); err != nil {
			return intent.Result{}, err
		}
	}
	encoded, err := intent.Encode(command)
	if err != nil {
		return intent.Result{}, err
	}
	r.log = append(r.log, encoded)
	return intent.DecodeResult(r.fsm.Apply(uint64(len(r.log)), encoded))
}

// entries are the log from one index on.
func (r *replica) entries(from int) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log[from:]
}

// advance moves the revision by a write of another kind.
func (r *replica) advance() uint64 {
	r.t.Helper()
	id := uuid.New()
	result, err := r.Propose(context.Background(), &intentpb.Command{
		Id: id[:], ProposedAtUnixMs: time.Now().UnixMilli(),
		Operation: &intentpb.Command_Create{
			Create: &intentpb.Create{Kind: marks, Name: uuid.NewString(), Value: []byte("mark")},
		},
	})
	if err != nil || !result.OK {
		r.t.Fatalf("advance: %+v, %v", result, err)
	}
	return result.Revision
}
