package serve

import (
	"fmt"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"pentad.dev/pentad/federation/feed"
)

// TestOnlyTheInterestedAreWoken: a change costs those who asked for the name, and nobody else; streams that ask for the
// same share what is kept about it; nothing of it is left when they are gone.
func TestOnlyTheInterestedAreWoken(t *testing.T) {
	l := newLog(t)
	cursor := l.Cursor(feed.Position{})
	table := newTable(Config{})
	commit := func(changes ...feed.Change) []*inbox {
		t.Helper()
		if _, err := l.Commit(changes...); err != nil {
			t.Fatal(err)
		}
		b, _ := cursor.Next()
		return table.apply(b, time.Now())
	}
	var cores []*sotw
	for i := range 100 {
		core := newSotw(Config{}.withDefaults(), table)
		req := &discovery.DiscoveryRequest{TypeUrl: EndpointType, ResourceNames: []string{fmt.Sprint("e", i/10), "all"}}
		if _, err := core.request(req, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := core.respond(time.Now()); err != nil {
			t.Fatal(err)
		}
		cores = append(cores, core)
	}
	if n := len(table.shelf(EndpointType).sets); n != 10 {
		t.Errorf("%d sets for 10 kinds of streams", n)
	}
	woken := commit(feed.Change{Kind: EndpointType, Key: "e3", Value: []byte("1")})
	if len(woken) != 10 {
		t.Fatalf("%d woken, want 10", len(woken))
	}
	for i, ib := range woken {
		if woken[i] == nil || ib != cores[30].inbox && !contains(cores[30:40], ib) {
			t.Errorf("a stream was woken that did not ask")
		}
	}
	if n := len(commit(feed.Change{Kind: EndpointType, Key: "e3", Value: []byte("2")})); n != 0 {
		t.Errorf("%d woken again before they looked", n)
	}
	if n := len(commit(feed.Change{Kind: ClusterType, Key: "e3", Value: []byte("1")},
		feed.Change{Kind: EndpointType, Key: "other", Value: []byte("1")})); n != 0 {
		t.Errorf("%d woken by what nobody asked for", n)
	}
	if n := len(commit(feed.Change{Kind: EndpointType, Key: "all", Value: []byte("1")})); n != 90 {
		t.Errorf("%d woken, want the 90 that are not awake", n)
	}
	// A wake-up never waits for the stream.
	for range 3 {
		cores[0].inbox.signal()
	}
	for _, core := range cores {
		core.close()
	}
	sh := table.shelf(EndpointType)
	if len(sh.sets) != 0 || len(sh.entries) != 3 {
		t.Errorf("%d sets and %d names are left; 3 exist", len(sh.sets), len(sh.entries))
	}
}

func contains(cores []*sotw, ib *inbox) bool {
	for _, c := range cores {
		if c.inbox == ib {
			return true
		}
	}
	return false
}
