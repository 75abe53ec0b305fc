package sample

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/dev/sample/samplepb"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

func TestAcknowledgedWritesAreInTheLedgerOnceAndRefusedOnesAreNot(t *testing.T) {
	w := newWorld(t)
	server, process := w.units()
	records, load := w.writer(server) // before anything runs: it changes gRPC for the whole process
	stopServer, stop := run(t, process), run(t, load)
	begins(t, load)
	until(t, "writes before the freeze", func() bool { return w.told(server, record.Admitted, "") >= 5 })
	for epoch := uint64(11); w.outlasted(server) == 0; epoch += 2 { // one that is too long for all patience shows nothing
		refused := w.told(server, record.Refused, guard.Frozen)
		w.freeze(epoch)
		until(t, "write that the freeze refuses", func() bool { return w.told(server, record.Refused, guard.Frozen) > refused })
		admitted := w.told(server, record.Admitted, "")
		w.open(epoch + 1)
		until(t, "writes after the freeze", func() bool {
			return w.outlasted(server) > 0 || w.told(server, record.Admitted, "") > admitted+20
		})
	}
	until(t, "more writes after the freeze", func() bool {
		return w.told(server, record.Admitted, "") >= 25 && w.told(server, record.Refused, guard.WrongCell) >= 20
	})
	stop()
	stopServer()

	ended, _ := readAll(t, records)
	entries, err := ledger.ReadLog(server.Ledgers[0].Dir)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]ledger.Entry{}
	for _, e := range entries {
		if _, twice := stored[e.ID]; twice && e.ID != "" {
			t.Errorf("write %s is in the log twice", e.ID)
		}
		stored[e.ID] = e
	}
	acknowledged, retried, readdressed := 0, 0, 0
	for _, r := range ended {
		late := r.End.Sub(r.Start) >= load.cfg.deadline() // on a machine that stood still
		if r.WriteID == "" {
			if !r.OK() && !late {
				t.Errorf("a read failed: %+v", r)
			}
			continue
		}
		e, there := stored[r.WriteID]
		switch {
		case r.Unknown() && late:
		case r.Shard > 4: // of the other unit, and there is no route to it
			if r.OK() || there || r.Refused == 0 || r.Reason != string(guard.WrongCell) || !r.Readdressed {
				t.Errorf("a write of another cell: %+v, stored %v", r, there)
			}
			readdressed++
		case !r.OK() && !there && r.Sent == r.Refused && r.End.Sub(r.Start) >= load.cfg.patience()/2: // given up in the end
		case !r.OK():
			t.Errorf("a write failed: %+v", r)
		default:
			acknowledged++
			if r.Refused > 0 {
				retried++
			}
			if !there || e.Shard != r.Shard || e.Key != r.User || r.Cell != "rz01.hz-a" || r.Sent != r.Refused+1 {
				t.Errorf("%+v is stored as %+v", r, e)
			}
		}
	}
	if acknowledged < 15 || retried == 0 || readdressed < 15 {
		t.Errorf("%d acknowledged, %d of them after a freeze, %d sent elsewhere: too few", acknowledged, retried, readdressed)
	}
	w.checkJournal(server, stored)
}

// checkJournal compares what the guard wrote with the ledger: every write came through it, under the since that it
// says.
func (w *world) checkJournal(server ServerConfig, stored map[string]ledger.Entry) {
	w.t.Helper()
	journals, err := record.ReadJournals(server.Records)
	if err != nil || len(journals) != 1 {
		w.t.Fatal(journals, err)
	}
	entries := slices.Collect(maps.Values(journals))[0]
	if first, last := entries[0], entries[len(entries)-1]; first.What != record.Opened || first.Center != "hz-a" ||
		last.What != record.Closed {
		w.t.Errorf("the journal begins with %+v and ends with %+v", first, last)
	}
	admitted, reasons := map[string]record.Entry{}, map[string]int{}
	var doors []record.Entry
	var frozen record.Time
	for _, e := range entries {
		switch e.What {
		case record.Admitted:
			if frozen != 0 && e.Since == opened {
				w.t.Errorf("admitted under an epoch that was over: %+v", e)
			}
			admitted[e.WriteID] = e
		case record.Refused:
			reasons[e.Reason]++
		case record.Door:
			if e.Cell == "rz01.hz-a" {
				doors = append(doors, e)
			}
			if e.Since == 11 {
				frozen = e.At
			}
		}
	}
	for id, e := range stored {
		a, there := admitted[id]
		if id == "" {
			continue
		}
		if !there || a.Since != e.Since || a.Shard != e.Shard || a.Guard != "orders-rz01" || a.Cell != "rz01.hz-a" ||
			a.Unitization != "users" || a.Left <= 0 || a.At > e.AcceptedAt {
			w.t.Errorf("stored %+v, admitted %+v", e, a)
		}
	}
	if reasons[string(guard.WrongCell)] == 0 || reasons[string(guard.Frozen)] == 0 {
		w.t.Errorf("refusals by reason: %v", reasons)
	}
	var got []bool
	for _, d := range doors {
		if d.From != 0 || d.To != 4 {
			w.t.Errorf("door %+v", d)
		}
		got = append(got, d.Open)
	}
	// It may tell of its end, too.
	want := []bool{true, false, true}
	if len(got) < 3 || !slices.Equal(got[:3], want) || doors[1].Since != 11 || doors[2].Since != 12 {
		w.t.Errorf("doors of rz01: %+v", doors)
	}
}

func TestAnOrderIsFoundWhereItWasPlacedAndAStoreThatIsClosedRefusesWithoutWriting(t *testing.T) {
	w := newWorld(t)
	server, _ := w.startUnits()
	conn, err := grpc.NewClient("passthrough:///"+server.Instances[0].Listen,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), guard.HeaderShard, "3")
	orders := samplepb.NewOrdersClient(conn)
	place := func(write string) error {
		_, err := orders.PlaceOrder(ctx, &samplepb.PlaceOrderRequest{User: "103", Item: "tea", Write: write})
		return err
	}
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err = place("w1"); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	until(t, "answer to the same again", func() bool { return place("w1") == nil })
	if err := place(""); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a name: %v", err)
	}
	var listed *samplepb.ListOrdersResponse
	lists := func() bool {
		listed, err = orders.ListOrders(ctx, &samplepb.ListOrdersRequest{User: "103"})
		return err == nil
	}
	until(t, "list of orders", lists)
	if !slices.Equal(listed.GetOrders(), []string{"w1"}) || listed.GetOrigin().GetCell() != "rz01.hz-a" {
		t.Errorf("listed %v, %v", listed, err)
	}
	get := func(user string) (got *samplepb.GetOrderResponse) {
		until(t, "order", func() bool {
			got, err = orders.GetOrder(ctx, &samplepb.GetOrderRequest{User: user, Order: "w1"})
			return err == nil
		})
		return got
	}
	if got := get("103"); !got.GetFound() || got.GetItem() != "tea" {
		t.Errorf("got %v", got)
	}
	if other := get("113"); other.GetFound() {
		t.Errorf("somebody else's order: %v", other)
	}

	w.mu.Lock()
	w.store = &permitpb.StorePermit{Store: someStore, Primary: "sh-a", Token: 8} // it is the primary no more
	for l := range w.leases {
		select {
		case l.hints <- struct{}{}:
		default:
		}
	}
	w.mu.Unlock()
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err = place("w-late-" + time.Now().String())
		if _, refused := guard.RefusalOf(err); refused {
			break
		}
		if err != nil && status.Code(err) != codes.Aborted { // in flight when the permit ended
			t.Errorf("a store that closes: %v", err)
		}
		if time.Now().After(limit) {
			t.Fatal("the store takes writes without a permit")
		}
	}
	if refusal, _ := guard.RefusalOf(err); refusal.Reason != guard.NoPermit || refusal.Shard != 3 {
		t.Errorf("a closed store's refusal: %v", err)
	}
	until(t, "read of a closed store", lists)
}

func TestConfigurationsOfUnitsAreRefusedWithEveryField(t *testing.T) {
	server := ServerConfig{
		Name: "s", Place: here(), Listen: Listen{Admin: "127.0.0.1:1"},
		Instances: []Instance{
			{Name: "a", Service: "orders", Listen: "127.0.0.1:2", Unit: "rz01", Cell: "rz01.sh-a", Store: "none"},
			{Name: "b", Service: "orders", Listen: "127.0.0.1:3", Unit: "rz01"},
		},
		Stores:  []StoreConfig{{Name: "x", Members: []Member{{Name: "sh-a", GRPC: "127.0.0.1:4"}}}, {Name: "x"}},
		Ledgers: []Ledger{{Store: "x", GRPC: "y", Webhook: "127.0.0.1:5"}, {Store: "z"}},
		Relays:  []Peer{{Name: "r", GRPC: "z"}, {Name: "r", GRPC: "127.0.0.1:6"}},
	}
	load := LoadConfig{
		Services: []string{"assets", "orders"},
		Writes: []Writes{
			{Service: "assets", Shards: 0}, {Service: "catalog", Shards: 2, Unitization: "shared", Rate: -1},
		},
	}
	for text, err := range map[string]error{
		`instances[0].cell: "rz01.sh-a" is not <unit>.<center>, here "rz01.hz-a"`: server.Validate(),
		`instances[0].store: "none" is not among stores`:                          server.Validate(),
		`instances[0].certificates.cert: must name`:                               server.Validate(),
		`instances[1].cell: must not be empty`:                                    server.Validate(),
		"cluster: must not be empty":                                              server.Validate(),
		"records: must not be empty":                                              server.Validate(),
		`relays[0].grpc: "z" is not host:port`:                                    server.Validate(),
		`relays[1].name: "r" is there already`:                                    server.Validate(),
		`stores[1].name: "x" is there already`:                                    server.Validate(),
		"stores[1].members: must hold at least one":                               server.Validate(),
		`ledgers[0].store: store "x" has no member in center "hz-a"`:              server.Validate(),
		`ledgers[0].grpc: "y" is not host:port`:                                   server.Validate(),
		"ledgers[0].dir: must not be empty":                                       server.Validate(),
		`ledgers[1].store: "z" is not among stores`:                               server.Validate(),
		"agents: must name at least one":                                          server.Validate(),
		`writes[0].service: "assets" has no writes`:                               load.Validate(),
		"writes[0].unitization: must not be empty":                                load.Validate(),
		"writes[0].shards: 0 is not between 1 and 16384":                          load.Validate(),
		`writes[1].service: "catalog" is not among services`:                      load.Validate(),
		"writes[1].header: must not be empty where":                               load.Validate(),
		"writes[1].rate: -1 is not between 0":                                     load.Validate(),
		"certificates.key: must name":                                             load.Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %q", err, text)
		}
	}
}
