package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// sentAsAnother has a member send what only the leader sends, and says whether it was taken for the leader's.
func sentAsAnother(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	l := c.leader()
	liar, victim := c.others(l)[0], c.others(l)[1]
	to := liar.mouth(t)
	as := func(id string) raft.RPCHeader {
		return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(id)}
	}
	// As itself it is heard.
	eventually(t, "an answer to a question of "+liar.id+" as itself", func() bool {
		return to.(raft.WithPreVote).RequestPreVote(raft.ServerID(victim.id), raft.ServerAddress(victim.address),
			&raft.RequestPreVoteRequest{RPCHeader: as(liar.id), Term: 1}, &raft.RequestPreVoteResponse{}) == nil
	})
	var resp raft.AppendEntriesResponse
	if err := to.AppendEntries(raft.ServerID(victim.id), raft.ServerAddress(victim.address),
		&raft.AppendEntriesRequest{RPCHeader: as(l.id), Term: l.node.Status().Term}, &resp); err == nil {
		return fmt.Errorf("%s took a heartbeat of %s from the connection of %s: %+v", victim.id, l.id, liar.id, resp)
	}
	return nil
}

// Each kind of message must name its sender, in each field that raft looks at, and however it comes in pieces.
func TestAMessageNamesItsSender(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	pass := func(from string, b []byte) error {
		s := screen{requests: true, from: from}
		for len(b) > 0 {
			n := 1 + rnd.IntN(len(b))
			if err := s.pass(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
		if s.begun {
			return errors.New("the message is not at its end")
		}
		return nil
	}
	id, addr := []byte("\xa2ID\xa2n2"), []byte("\xa4Addr\xa2n2")
	// A configuration within the message has the same in it, further ahead.
	replaced := func(b, old, with []byte) []byte {
		at := bytes.LastIndex(b, old)
		return slices.Concat(b[:at], with, b[at+len(old):])
	}
	for i, sample := range sampleMessages(t) {
		if !bytes.Contains(sample, id) || !bytes.Contains(sample, addr) {
			t.Fatalf("message %d does not hold its sender as this test thinks: %q", i, sample)
		}
		for name, x := range map[string]struct {
			from, word string // word is in the error; empty: none
			b          []byte
		}{
			"whose connection it is":        {"n2", "", sample},
			"two messages":                  {"n2", "", append(bytes.Clone(sample), sample...)},
			"nobody looks":                  {"", "", sample},
			"another's connection":          {"n3", `n3 sends a message whose`, sample},
			"a name that begins like it":    {"n22", `is "n2"`, sample},
			"only the address is false":     {"n2", `whose Addr is "n3"`, bytes.Replace(sample, addr, []byte("\xa4Addr\xa2n3"), 1)},
			"no address":                    {"n2", "without Addr", bytes.Replace(sample, addr, []byte("\xa4addr\xa2n2"), 1)},
			"no id":                         {"n2", "without ID", replaced(sample, id, []byte("\xa2id\xa2n2"))},
			"an empty id":                   {"n2", `whose ID is ""`, replaced(sample, id, []byte("\xa2ID\xa0"))},
			"numbers for a name":            {"n2", "garbage", replaced(sample, id, []byte("\xa2ID\x92n2"))},
			"nothing for a name":            {"n2", "garbage", replaced(sample, id, []byte("\xa2ID\xc0"))},
			"a long name":                   {"n2", "garbage", replaced(sample, id, []byte("\xa2ID\xda\xff\xff"))},
			"the right one, then the other": {"n2", `whose ID is "n3"`, bytes.Replace(sample, addr, []byte("\xa2ID\xa2n3"), 1)},
		} {
			err := pass(x.from, x.b)
			if x.word == "" && err != nil || x.word != "" && (!errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), x.word)) {
				t.Errorf("message %d, %s: %v, want %q", i, name, err, x.word)
			}
		}
	}
}
