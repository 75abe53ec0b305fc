package main

import (
	"errors"
	"strings"
	"testing"
	"time"

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
