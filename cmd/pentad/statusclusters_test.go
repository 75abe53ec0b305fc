package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/server"
)

func TestStatusSaysWhoIsLiveSilentAndExpired(t *testing.T) {
	at := func(clusters ...server.ClusterStatus) page { return page{server: &server.Status{Clusters: clusters}} }
	var out strings.Builder
	writeClusters(&out, []page{
		at(server.ClusterStatus{Name: "a", Heard: true, Age: time.Second}, server.ClusterStatus{Name: "b"},
			server.ClusterStatus{Name: "c", Heard: true, Age: time.Hour}),
		at(server.ClusterStatus{Name: "a", Heard: true, Age: time.Minute}, server.ClusterStatus{Name: "b"},
			server.ClusterStatus{Name: "c", Heard: true, Age: 2 * time.Hour, Expired: true}),
		{name: "gone", err: errors.New("no answer")},
	})
	want := "\nCLUSTER\tLIVENESS\tHEARD BY\tLAST HEARD\na\tlive\t1/2\t1s ago\nb\tsilent\t0/2\tnever\nc\texpired\t0/2\t1h0m0s ago\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	if writeClusters(&out, nil); out.Len() > 0 {
		t.Errorf("without a server: %q", out.String())
	}
}

func TestStatusSaysThatWithdrawalsAreHeldBack(t *testing.T) {
	at := func(name, state string, held *server.Held) page {
		return page{server: &server.Status{Name: name, Raft: consensus.Status{State: state}, Held: held}}
	}
	var out strings.Builder
	writeHeld(&out, []page{
		at("hz-a", "follower", &server.Held{Reason: "Stopped", Message: "cluster a is kept"}),
		at("hz-b", "leader", &server.Held{Reason: "TooMany", Message: "clusters a and b are kept"}), {name: "gone", err: errors.New("no answer")},
	})
	if want := "\nwithdrawals are held back (TooMany), as server hz-b says:\n  - clusters a and b are kept\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	if writeHeld(&out, []page{at("hz-a", "leader", nil)}); out.Len() > 0 {
		t.Errorf("when nothing is held: %q", out.String())
	}
}
