package consensus

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"
)

// Whatever raft writes passes, in whatever pieces it comes, and between two messages the screen knows that it is there.
func TestTheScreenFollowsMessages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	samples := sampleMessages(t)
	for range 200 {
		s := screen{requests: true}
		for range 10 {
			b := samples[rnd.IntN(len(samples))]
			for len(b) > 0 {
				n := 1 + rnd.IntN(len(b))
				if rnd.IntN(3) == 0 {
					n = 1
				}
				if err := s.pass(b[:n]); err != nil {
					t.Fatal(err)
				}
				b = b[n:]
			}
			if s.begun || len(s.open) > 0 || len(s.head) > 0 || s.body > 0 || s.raw > 0 {
				t.Fatalf("behind a message: %+v", s)
			}
		}
	}
}

func TestTheScreenStopsWhatIsTooMuch(t *testing.T) {
	log := append([]byte{0, 0x81, 0xa7}, "Entries"...)
	stamp := append(bytes.Clone(log), 0x91, 0x81, 0xaa)
	stamp = append(stamp, "AppendedAt"...)
	for name, b := range map[string][]byte{
		"a time stamp of 3 GiB":       append(bytes.Clone(stamp), 0xc6, 0xc6, 0xc6, 0xc6, 0xc6),
		"a text of 4 GiB":             append(bytes.Clone(stamp), 0xdb, 0xff, 0xff, 0xff, 0xff),
		"an extension of 4 GiB":       append(bytes.Clone(stamp), 0xc9, 0xff, 0xff, 0xff, 0xff, 1),
		"four billion entries":        append(bytes.Clone(log), 0xdd, 0xff, 0xff, 0xff, 0xff),
		"entries within entries":      append(bytes.Clone(log), bytes.Repeat([]byte{0x91}, 100)...),
		"a message without its names": {0, 0x9a},
		"a number as a name":          {0, 0x81, 0x01},
		"no value at all":             {0, 0x81, 0xa1, 'x', 0xc1},
		"the same behind a snapshot": append(append([]byte{kindInstallSnapshot, 0x81, 0xa4}, "Size\x02xy"...),
			append(bytes.Clone(stamp), 0xc6, 0xc6, 0xc6, 0xc6, 0xc6)...),
	} {
		s := screen{requests: true}
		if err := s.pass(b); !errors.Is(err, ErrPeer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	answers := screen{}
	if err := answers.pass([]byte{0xa0, 0x81, 0xa4, 'T', 'e', 'r', 'm', 5, 0xa0, 0xc0}); err != nil || len(answers.open) > 0 {
		t.Errorf("two answers: %v, %d open", err, len(answers.open))
	}
	if err := answers.pass([]byte{0xdb, 0xff, 0xff, 0xff, 0xff}); !errors.Is(err, ErrPeer) {
		t.Errorf("an answer of 4 GiB: %v", err)
	}
}

// BenchmarkScreen reads along a message of 64 entries of 256 bytes.
func BenchmarkScreen(b *testing.B) {
	m := &raft.AppendEntriesRequest{Term: 3}
	for i := range uint64(64) {
		m.Entries = append(m.Entries, &raft.Log{Index: i + 1, Term: 3, Data: make([]byte, 256)})
	}
	bytes := written(b, func(t raft.Transport) { t.AppendEntries("n1", "n1", m, &raft.AppendEntriesResponse{}) })
	s := screen{requests: true}
	b.SetBytes(int64(len(bytes)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.pass(bytes); err != nil {
			b.Fatal(err)
		}
	}
}
