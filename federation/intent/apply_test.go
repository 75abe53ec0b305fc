package intent

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

func TestFirstCommandSetsTheIncarnation(t *testing.T) {
	e := newEstate(t, Config{})
	if got := e.Revision(); got != 1 {
		t.Errorf("revision of an empty FSM is %d, want 1", got)
	}
	if r := e.add(center("hz-a", "hangzhou", v1alpha1.CenterFull)); r.Revision != epoch<<31+1 {
		t.Errorf("first revision is %d, want %d", r.Revision, uint64(epoch<<31+1))
	}
	late := e.creation(v1alpha1.KindCenter, "hz-b", toJSON(e.fresh(center("hz-b", "hangzhou", ""), e.View().Lookup())))
	late.ProposedAtUnixMs += 1e9
	if r := e.must(late); r.Revision != epoch<<31+2 {
		t.Errorf("a later clock gave revision %d, want %d", r.Revision, uint64(epoch<<31+2))
	}
	if got := e.Incarnation(); got != epoch {
		t.Errorf("incarnation is %d, want %d", got, epoch)
	}
}

func TestRefusedFirstCommandStillSetsTheIncarnation(t *testing.T) {
	e := newEstate(t, Config{})
	if r := e.do(e.creation(v1alpha1.KindCenter, "hz-a", []byte("{}"))); r.OK || r.Revision != epoch<<31 {
		t.Errorf("result is %+v, want a refusal at revision %d", r, uint64(epoch<<31))
	}
	if p := e.Feed().Position(); p.Incarnation != epoch || p.Seq != epoch<<31 {
		t.Errorf("the feed is at %s", p)
	}
}

func TestLostRacesGiveTheCurrentObject(t *testing.T) {
	e := newEstate(t, Config{})
	first := e.add(center("hz-a", "hangzhou", ""))
	value := toJSON(e.fresh(center("hz-a", "hangzhou", ""), e.View().Lookup()))
	for name, c := range map[string]*intentpb.Command{
		"create what exists":  e.creation(v1alpha1.KindCenter, "hz-a", value),
		"update another":      e.replacement(v1alpha1.KindCenter, "hz-a", value, first.Revision+1),
		"delete another":      e.deletion(v1alpha1.KindCenter, "hz-a", first.Revision-1),
		"delete another uid":  withUID(e.deletion(v1alpha1.KindCenter, "hz-a", first.Revision), "other"),
		"update what is gone": e.replacement(v1alpha1.KindCenter, "hz-x", value, first.Revision),
		"delete what is gone": e.deletion(v1alpha1.KindCenter, "hz-x", first.Revision),
	} {
		r := e.do(c)
		if !r.LostRace() || r.Revision != first.Revision || e.Revision() != first.Revision {
			t.Errorf("%s: result is %+v at revision %d", name, r, e.Revision())
		}
		if gone := strings.Contains(name, "gone"); gone != (r.Current == nil) {
			t.Errorf("%s: current is %+v", name, r.Current)
		}
		if c := r.Current; c != nil && (c.Revision != first.Revision || c.Name != "hz-a" || len(c.Value) == 0) {
			t.Errorf("%s: current is %+v", name, r.Current)
		}
	}
}

func withUID(c *intentpb.Command, uid string) *intentpb.Command {
	c.GetDelete().Uid = uid
	return c
}

func TestObjectLife(t *testing.T) {
	e := newEstate(t, Config{})
	created := e.add(center("hz-a", "hangzhou", "")).Revision
	updated := e.must(e.edit(v1alpha1.KindCenter, "hz-a", func(o v1alpha1.Object) {
		o.(*v1alpha1.Center).Spec.Role = v1alpha1.CenterArbiter
	})).Revision
	object, ok := e.View().Get(v1alpha1.KindCenter, "hz-a")
	if !ok || object.Created != created || object.Revision != updated || updated != created+1 {
		t.Fatalf("after an update: %+v", object)
	}
	if g := typed(object).GetGeneration(); g != 2 {
		t.Errorf("generation is %d, want 2", g)
	}
	uid := string(typed(object).GetUID())
	deleted := e.must(withUID(e.remove(v1alpha1.KindCenter, "hz-a"), uid)).Revision
	if _, ok := e.View().Get(v1alpha1.KindCenter, "hz-a"); ok || deleted != updated+1 {
		t.Errorf("deletion has revision %d, want %d; still there: %v", deleted, updated+1, ok)
	}
	if again := e.add(center("hz-a", "hangzhou", "")).Revision; again != deleted+1 {
		t.Errorf("made again at %d, want %d", again, deleted+1)
	}
}

func TestRetryIsAnsweredWithTheFirstResult(t *testing.T) {
	e := newEstate(t, Config{})
	c := e.creation(v1alpha1.KindCenter, "hz-a", toJSON(e.fresh(center("hz-a", "hangzhou", ""), e.View().Lookup())))
	refused := e.creation(v1alpha1.KindCluster, "hz-a-vm", toJSON(e.fresh(cluster("hz-a-vm", "hz-b"), e.View().Lookup())))
	first, no := e.Apply(1, encode(c)), e.Apply(2, encode(refused))
	e.must(e.remove(v1alpha1.KindCenter, "hz-a"))
	e.add(center("hz-b", "hangzhou", ""))
	revision := e.Revision()
	restored := mustNew(Config{})
	if err := restored.Restore(bytes.NewReader(save(e.FSM))); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*FSM{"the replica": e.FSM, "a replica from its snapshot": restored} {
		if got := f.Apply(10, encode(c)); !bytes.Equal(got, first) {
			t.Errorf("%s: a retry of a creation got %x, want %x", name, got, first)
		}
		if got := f.Apply(11, encode(refused)); !bytes.Equal(got, no) {
			t.Errorf("%s: a retry of a refused command got %x, want %x", name, got, no)
		}
		if f.Revision() != revision {
			t.Errorf("%s: a retry moved the revision from %d to %d", name, revision, f.Revision())
		}
		if f.AppliedIndex() != 11 {
			t.Errorf("%s: applied index is %d, want 11", name, f.AppliedIndex())
		}
	}
}

func TestAnswersAreBoundedAlikeOnEveryReplica(t *testing.T) {
	config := Config{answers: limits{count: 3, bytes: 1 << 20}}
	e := newEstate(t, config)
	var commands [][]byte
	for _, name := range []string{"a", "b", "c", "d"} {
		value := toJSON(e.fresh(center(name, "hangzhou", ""), e.View().Lookup()))
		commands = append(commands, encode(e.creation(v1alpha1.KindCenter, name, value)))
		e.Apply(1, commands[len(commands)-1])
	}
	restored := mustNew(config)
	if err := restored.Restore(bytes.NewReader(save(e.FSM))); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*FSM{"the replica": e.FSM, "a replica from its snapshot": restored} {
		for i, c := range commands[1:] {
			if r, _ := DecodeResult(f.Apply(2, c)); !r.OK {
				t.Errorf("%s: answer %d of the last 3 is forgotten: %+v", name, i, r)
			}
		}
		if r, _ := DecodeResult(f.Apply(3, commands[0])); !r.LostRace() {
			t.Errorf("%s: the oldest of 4 answers is kept, the limit is 3: %+v", name, r)
		}
	}
	small := mustNew(Config{answers: limits{count: 100, bytes: 40}})
	for i, c := range commands {
		small.Apply(uint64(i+1), c)
	}
	if small.answers.bytes > 40 || small.answers.len() == 0 || small.answers.len() == 4 {
		t.Errorf("%d answers of %d bytes, the limit is 40 bytes", small.answers.len(), small.answers.bytes)
	}
}

func TestUndecodableEntryStopsTheNode(t *testing.T) {
	for name, entry := range undecodable() {
		t.Run(name, func(t *testing.T) {
			f := mustNew(Config{})
			if err := f.Check(entry); !errors.Is(err, ErrCommand) {
				t.Errorf("check says %v, want ErrCommand", err)
			}
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, "entry 7") || !strings.Contains(p, "malformed command") {
					t.Errorf("apply panicked with %q", p)
				}
			}()
			f.Apply(7, entry)
			t.Error("apply went on")
		})
	}
}

func undecodable() map[string][]byte {
	a := newAuthor(1)
	ok := encode(a.creation("Center", "a", []byte("{}")))
	unknown := protowire.AppendVarint(protowire.AppendTag(bytes.Clone(ok), 99, protowire.VarintType), 1)
	inner := protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), []byte("x"))
	third := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
	acks := protowire.AppendBytes(protowire.AppendTag(bytes.Clone(ok), 9, protowire.BytesType), third)
	operation := protowire.AppendBytes(protowire.AppendTag(nil, 4000, protowire.BytesType), nil)
	nested := protowire.AppendBytes(protowire.AppendTag(bytes.Clone(ok), 3, protowire.BytesType), inner)
	return map[string][]byte{
		"empty":             {},
		"noise":             []byte("\xff\xff\xff"),
		"truncated":         ok[:len(ok)-1],
		"unknown field":     unknown,
		"unknown in nested": nested,
		"unknown in a list": acks,
		"unknown operation": append(head(ok), operation...),
		"no operation":      head(ok),
		"unknown kind":      encode(a.creation("Nothing", "a", []byte("{}"))),
	}
}

// head is a command without its operation.
func head(command []byte) []byte {
	c := &intentpb.Command{}
	if err := proto.Unmarshal(command, c); err != nil {
		panic(err)
	}
	c.Operation = nil
	b, err := proto.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

func TestEncodeRefusesMalformedTransitions(t *testing.T) {
	id := "0b2f4a4e-8f6c-4e5c-9c39-2f9b3f6f2a11"
	long := strings.Repeat("x", MaxText+1)
	many := make([]string, MaxBatch+1)
	report := func(fn func(*intentpb.StoreReport)) *intentpb.StoreReports {
		r := &intentpb.StoreReport{Store: "s", Member: "m", SwitchoverUid: "u", Step: 1, Token: 1}
		fn(r)
		return &intentpb.StoreReports{Reports: []*intentpb.StoreReport{r}}
	}
	opened := func(fn func(*intentpb.Session)) *intentpb.OpenSession {
		o := session(id, "hz-a")
		fn(o.Session)
		return o
	}
	for _, c := range []struct {
		want      string
		operation any
	}{
		{"switchover ", &intentpb.Freeze{Uid: "u"}},
		{"uid ", &intentpb.Freeze{Switchover: "s"}},
		{"plan_hash of", &intentpb.Approve{Switchover: "s", Uid: "u", PlanHash: long}},
		{"approver of", &intentpb.Approve{Switchover: "s", Uid: "u", Approver: long}},
		{"reason of", &intentpb.Abort{Switchover: "s", Uid: "u", Reason: long}},
		{"message of", &intentpb.Converged{Switchover: "s", Uid: "u", Message: long}},
		{"freeze 0", &intentpb.WaitedOut{Switchover: "s", Uid: "u", Term: 1}},
		{"term 0", &intentpb.WaitedOut{Switchover: "s", Uid: "u", Freeze: 1}},
		{"acks: 0 of them", acks(1)},
		{"acks: 4097 of them", acks(1, many...)},
		{`acks[1].session "x": must be a UUID`, acks(1, id, "x")},
		{"acks[0].freeze 0", acks(0, id)},
		{"reports: 0 of them", &intentpb.StoreReports{}},
		{"reports[0].store", report(func(r *intentpb.StoreReport) { r.Store = "" })},
		{"reports[0].member", report(func(r *intentpb.StoreReport) { r.Member = "" })},
		{"reports[0].switchover_uid", report(func(r *intentpb.StoreReport) { r.SwitchoverUid = "" })},
		{"reports[0].step 0", report(func(r *intentpb.StoreReport) { r.Step = 0 })},
		{"session.id", opened(func(s *intentpb.Session) { s.Id = "{" + id + "}" })},
		{"session.holder", opened(func(s *intentpb.Session) { s.Holder = 9 })},
		{"session.name", opened(func(s *intentpb.Session) { s.Name = "" })},
		{"session.cluster", opened(func(s *intentpb.Session) { s.Cluster = "" })},
		{"session.center", opened(func(s *intentpb.Session) { s.Center = "" })},
		{"session.closed true", opened(func(s *intentpb.Session) { s.Closed = true })},
		{"session.holder HOLDER_UNSPECIFIED", &intentpb.OpenSession{}},
		{"id ", &intentpb.CloseSession{Id: "x"}},
		{"term 0", &intentpb.RemoveSession{Id: id}},
	} {
		if _, err := Encode(newAuthor(1).transition(c.operation)); !errors.Is(err, ErrCommand) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: error is %v, want %q", c.operation, err, c.want)
		}
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	for name, breakIt := range map[string]func(*intentpb.Command){
		"id ":                   func(c *intentpb.Command) { c.Id = c.Id[:15] },
		"id 0000":               func(c *intentpb.Command) { clear(c.Id) },
		"proposed_at_unix_ms ":  func(c *intentpb.Command) { c.ProposedAtUnixMs = 999 },
		"at_unix_ms 4294967296": func(c *intentpb.Command) { c.ProposedAtUnixMs = 1 << 32 * 1000 },
		"operation":             func(c *intentpb.Command) { c.Operation = nil },
		"operation: must not":   func(c *intentpb.Command) { c.Operation = &intentpb.Command_Create{} },
		"kind":                  func(c *intentpb.Command) { c.GetUpdate().Kind = "" },
		"name":                  func(c *intentpb.Command) { c.GetUpdate().Name = strings.Repeat("n", MaxName+1) },
		"value":                 func(c *intentpb.Command) { c.GetUpdate().Value = make([]byte, MaxValue+1) },
		"expect_revision 0":     func(c *intentpb.Command) { c.GetUpdate().ExpectRevision = 0 },
		"expect_revision 0: must be the revision of the object that is deleted": func(c *intentpb.Command) {
			c.Operation = &intentpb.Command_Delete{Delete: &intentpb.Delete{Kind: "Center", Name: "a"}}
		},
	} {
		c := newAuthor(1).replacement("Center", "a", []byte("{}"), 1)
		breakIt(c)
		if _, err := Encode(c); !errors.Is(err, ErrCommand) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestCounterOverflowKeepsRevisionsGrowing(t *testing.T) {
	e := newEstate(t, Config{})
	e.add(center("hz-a", "hangzhou", ""))
	e.state.revision = (epoch+1)<<31 - 1
	if err := e.Feed().CommitAt(e.state.position()); err != nil {
		t.Fatal(err)
	}
	if r := e.add(center("hz-b", "hangzhou", "")); r.Revision != (epoch+1)<<31 {
		t.Errorf("revision after the overflow is %d, want %d", r.Revision, uint64(epoch+1)<<31)
	}
	if _, ok := e.Feed().Get(v1alpha1.KindCenter, "hz-b"); !ok {
		t.Error("the feed did not follow")
	}
}
