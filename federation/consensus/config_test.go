package consensus

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestConfigNamesFieldAndValue(t *testing.T) {
	good := soloConfig(t, "data")
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		field  string
		change func(*Config)
	}{
		{"id:", func(c *Config) { c.ID = "" }},
		{"dir:", func(c *Config) { c.Dir = "" }},
		{"listener:", func(c *Config) { c.Listener = nil }},
		{"machine:", func(c *Config) { c.Machine = nil }},
		{"clientTLS:", func(c *Config) { c.ClientTLS = nil }},
		{"serverTLS:", func(c *Config) { c.ServerTLS = nil }},
		{"client certificates", func(c *Config) { c.ServerTLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven} }},
		{"client certificates", func(c *Config) { c.ServerTLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert} }},
		{"voters:", func(c *Config) { c.Voters = nil }},
		{`"n9"`, func(c *Config) { c.ID = "n9" }},
		{`voters[1].id: "n1" is there twice`, func(c *Config) { c.Voters = append(c.Voters, Member{"n1", "1.2.3.4:5"}) }},
		{`voters[1].address: "nowhere"`, func(c *Config) { c.Voters = append(c.Voters, Member{"n2", "nowhere"}) }},
		{"is there twice", func(c *Config) { c.Voters = append(c.Voters, Member{"n2", c.Voters[0].Address}) }},
		{"electionTimeout: 100ms", func(c *Config) { c.ElectionTimeout = 100 * time.Millisecond }},
		{"leaderLease: 1s", func(c *Config) { c.LeaderLease = time.Second }},
		{"commitTimeout: 1µs", func(c *Config) { c.CommitTimeout = time.Microsecond }},
		{"heartbeatTimeout: -1s", func(c *Config) { c.HeartbeatTimeout = -time.Second }},
		{"segmentSize: 10", func(c *Config) { c.SegmentSize = 10 }},
	} {
		c := good
		c.Voters = append([]Member(nil), good.Voters...)
		x.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), x.field) {
			t.Errorf("%v: want %q in it", err, x.field)
		}
	}
}

// Rules 3 and 5 are numbers; they are kept by what a node is told when nobody says otherwise.
func TestDefaultsKeepTheRules(t *testing.T) {
	c := (&Config{}).withDefaults()
	if c.CommitTimeout != 5*time.Millisecond {
		t.Errorf("commit timeout %v, want 5ms", c.CommitTimeout)
	}
	if c.HeartbeatTimeout != 500*time.Millisecond || c.ElectionTimeout != 500*time.Millisecond {
		t.Errorf("heartbeat timeout %v, election timeout %v, want 500ms", c.HeartbeatTimeout, c.ElectionTimeout)
	}
	if c.LeaderLease > c.HeartbeatTimeout {
		t.Errorf("leader lease %v is above the heartbeat timeout %v", c.LeaderLease, c.HeartbeatTimeout)
	}
	if c.DiskTimeout != 5*time.Second {
		t.Errorf("disk timeout %v, want 5s", c.DiskTimeout)
	}
	if r := (&Node{cfg: c}).raftConfig(); r.PreVoteDisabled || r.BatchApplyCh {
		t.Errorf("pre-vote disabled %v, buffered proposals %v", r.PreVoteDisabled, r.BatchApplyCh)
	}
}

func TestGaugeWakesWhomItReached(t *testing.T) {
	g := newGauge()
	results := make([]chan error, 10)
	ctx, cancel := context.WithCancel(context.Background())
	for i := range results {
		results[i] = make(chan error, 1)
		go func() { results[i] <- g.wait(ctx, uint64(10*(10-i))) }()
	}
	waiting := func(n int) {
		eventually(t, "they wait", func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return len(g.waiting) == n
		})
	}
	waiting(10)
	g.advance(35)
	for i := 7; i < 10; i++ {
		if err := <-results[i]; err != nil {
			t.Error(err)
		}
	}
	g.advance(20) // back: nothing
	if g.value() != 35 {
		t.Errorf("at %d, want 35", g.value())
	}
	waiting(7)
	cancel()
	for i := range 7 {
		if err := <-results[i]; !errors.Is(err, context.Canceled) {
			t.Errorf("%d: %v", i, err)
		}
	}
	waiting(0)
	failed := make(chan error, 1)
	go func() { failed <- g.wait(context.Background(), 100) }()
	waiting(1)
	g.fail(ErrStopped)
	if err := <-failed; !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	if err := g.wait(context.Background(), 35); err != nil {
		t.Errorf("what was reached stays reached: %v", err)
	}
	if err := g.wait(context.Background(), 36); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

func TestLoggerHoldsBackRepeatedComplaints(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), "raft")
	for range 100 {
		l.Error("failed to heartbeat to", "peer", "n2", "error", errors.New("refused"))
	}
	l.Error("failed to heartbeat to", "peer", "n3", "error", errors.New("refused"))
	l.With("id", 7).Info("snapshot")
	l.Debug("unseen")
	if n := strings.Count(out.String(), "\n"); n != 3 || !strings.Contains(out.String(), "id=7") {
		t.Errorf("%d lines, want 3:\n%s", n, out.String())
	}
}
