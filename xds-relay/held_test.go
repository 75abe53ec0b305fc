package relay

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// held is knowledge that a test writes.
type held struct {
	set *feed.Set
	err error
	// arrives is called, once, when the knowledge is asked whether it is whole, and makes it so.
	arrives func()
}

func (h *held) Set() *feed.Set { return h.set }
func (h *held) Ready() error {
	if h.arrives != nil {
		h.arrives()
		h.arrives = nil
	}
	return h.err
}

func newHeld(t *testing.T) *held { return newHeldIn(t, "") }

func newHeldIn(t *testing.T, dir string) *held {
	t.Helper()
	set, err := feed.OpenSet(dir, feed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &held{set: set}
	h.write(t, feed.IntentID, map[[2]string]string{
		{"Center", "hz-a"}: `{"spec":{"region":"hangzhou"}}`, {"Cluster", "hz-a-vm"}: `{"spec":{"center":"hz-a"}}`,
		{"Center", "sh-a"}: `{"spec":{"region":"shanghai"}}`, {"Cluster", "sh-a-vm"}: `{"spec":{"center":"sh-a"}}`,
	})
	return h
}

func (h *held) write(t *testing.T, id feed.ID, records map[[2]string]string) *feed.Log {
	t.Helper()
	var whole []feed.Change
	for name, value := range records {
		whole = append(whole, feed.Change{Kind: name[0], Key: name[1], Value: []byte(value)})
	}
	l := h.set.Log(id)
	if _, err := l.Begin(feed.NextIncarnation(time.Now().UnixMilli(), 0, l.Highest().Incarnation, 1), whole); err != nil {
		t.Fatal(err)
	}
	return l
}

// orders writes a cluster's feed with one instance of orders.
func (h *held) orders(t *testing.T, cluster string, port uint32) *feed.Log {
	t.Helper()
	encode := func(m proto.Message) string {
		value, err := model.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(value)
	}
	return h.write(t, model.FeedID(cluster, "static"), map[[2]string]string{
		{model.KindService, "orders"}: encode(&modelpb.Service{Name: "orders", Ports: []*modelpb.Port{{Name: "grpc", Number: 9000}}}),
		{model.KindEndpointSlice, "orders/0"}: encode(&modelpb.EndpointSlice{
			Service: "orders", PortNames: []string{"grpc"},
			Endpoints: []*modelpb.Endpoint{{Address: "10.0.0.1", Ports: []uint32{port}}},
		}),
	})
}

const users = `{"spec":{"shards":100,"key":{"header":"x-user-id","function":"LastDigits","skipDigits":1},` +
	`"overrides":[{"key":"42","shard":7}],"units":[{"name":"rz01","cells":[{"center":"hz-a"}]}],` +
	`"services":[{"name":"orders","reads":["/shop.Orders/*"]}]}}`

// owned is the ownership map of users.
func owned(t *testing.T, epoch uint64, state modelpb.RangeState) feed.Change {
	t.Helper()
	value, err := model.Encode(&modelpb.Ownership{
		Unitization: "users", Shards: 100, Epoch: epoch, Ranges: []*modelpb.OwnedRange{
			{To: 99, Unit: "rz01", Cells: []string{"rz01.hz-a"}, State: state, Since: epoch},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return feed.Change{Kind: model.KindOwnership, Key: "users", Value: value}
}

func intentLog(t *testing.T, h *held) *feed.Log {
	t.Helper()
	l, ok := h.set.Get(feed.IntentID)
	if !ok {
		t.Fatal("no intent")
	}
	return l
}
