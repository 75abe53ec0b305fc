//go:build linux

package history

import "testing"

func ops(list ...Op) []Op {
	for i := range list {
		list[i].Key = "k"
		if list[i].Outcome == "" {
			list[i].Outcome = Done
		}
	}
	return list
}

func TestHistoriesAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		ops  []Op
		want bool
	}{
		"in order": {ops(
			Op{Kind: Write, Value: "1", Call: 0, Return: 1}, Op{Kind: Read, Seen: "1", Call: 2, Return: 3},
			Op{Kind: Swap, Expect: "1", Value: "2", Call: 4, Return: 5}, Op{Kind: Read, Seen: "2", Call: 6, Return: 7}), true},
		"a stale read": {ops(
			Op{Kind: Write, Value: "1", Call: 0, Return: 1}, Op{Kind: Read, Seen: "", Call: 2, Return: 3}), false},
		"a lost write": {ops(
			Op{Kind: Write, Value: "1", Call: 0, Return: 1}, Op{Kind: Write, Value: "2", Call: 2, Return: 3},
			Op{Kind: Read, Seen: "1", Call: 4, Return: 5}), false},
		"two swaps of one version": {ops(
			Op{Kind: Swap, Value: "1", Call: 0, Return: 9}, Op{Kind: Swap, Value: "2", Call: 0, Return: 9}), false},
		"an unknown write, late": {ops(
			Op{Kind: Write, Value: "1", Call: 0, Return: 1, Outcome: Unknown}, Op{Kind: Read, Seen: "", Call: 2, Return: 3},
			Op{Kind: Read, Seen: "1", Call: 4, Return: 5}), true},
		"an unknown write, twice": {ops(
			Op{Kind: Write, Value: "1", Call: 0, Return: 1, Outcome: Unknown}, Op{Kind: Read, Seen: "1", Call: 2, Return: 3},
			Op{Kind: Write, Value: "2", Call: 4, Return: 5}, Op{Kind: Read, Seen: "1", Call: 6, Return: 7}), false},
		"a refused write that happened": {ops(
			Op{Kind: Write, Value: "1", Call: 0, Return: 1, Outcome: Refused}, Op{Kind: Read, Seen: "1", Call: 2, Return: 3}), false},
		"a chain of unknown swaps": {ops(
			Op{Kind: Write, Value: "1", Call: 0, Return: 1, Outcome: Unknown},
			Op{Kind: Swap, Expect: "1", Value: "2", Call: 0, Return: 1, Outcome: Unknown},
			Op{Kind: Read, Seen: "2", Call: 2, Return: 3}), true},
	} {
		if got := Judge(c.ops); got.Linearizable != c.want || !got.Decided {
			t.Errorf("%s: %s, want linearizable %v", name, got, c.want)
		}
	}
}
