//go:build linux

package history

import (
	"fmt"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// registers says which histories a set of registers may have. A value is written at most once.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(Op).Key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		switch op := input.(Op); op.Kind {
		case Read:
			return op.Seen == state.(string), state
		case Swap:
			return op.Expect == state.(string), op.Value
		default:
			return true, op.Value
		}
	},
	DescribeOperation: func(input, _ any) string {
		op := input.(Op)
		switch op.Kind {
		case Read:
			return fmt.Sprintf("read %q", op.Seen)
		case Swap:
			return fmt.Sprintf("swap %q for %q: %s", op.Expect, op.Value, op.Outcome)
		default:
			return fmt.Sprintf("write %q: %s", op.Value, op.Outcome)
		}
	},
}

// judged bounds the search for an order.
const judged = 10 * time.Minute

// operations are what the model judges. What did not happen is left out, and what may have happened and was never seen:
// it changes nothing for the others. What may have happened and was seen had no end by which it must have.
func operations(ops []Op) []porcupine.Operation {
	seen := map[string]bool{}
	for _, op := range ops {
		if op.Outcome == Done {
			seen[op.Key+"\x00"+op.Seen] = true
			seen[op.Key+"\x00"+op.Expect] = true
		}
	}
	// An unknown swap that was seen says that what it expected was there, also if that was another's of the kind.
	for again := true; again; {
		again = false
		for _, op := range ops {
			if expected := op.Key + "\x00" + op.Expect; op.Outcome == Unknown && op.Kind == Swap && seen[op.Key+"\x00"+op.Value] && !seen[expected] {
				seen[expected], again = true, true
			}
		}
	}
	var out []porcupine.Operation
	for _, op := range ops {
		o := porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Return: op.Return}
		switch {
		case op.Outcome == Unknown && op.Kind != Read && seen[op.Key+"\x00"+op.Value]:
			o.Return = math.MaxInt64
		case op.Outcome != Done:
			continue
		}
		out = append(out, o)
	}
	return out
}

// Verdict is what was found about a history.
type Verdict struct {
	// Operations were tried, Answered of them done, Unknown of unknown outcome, Refused.
	Operations, Answered, Unknown, Refused int
	// Linearizable says that there is an order; not Decided, that none was found or excluded in time.
	Linearizable, Decided bool
	picture               porcupine.LinearizationInfo
}

// Judge looks for an order of the operations.
func Judge(ops []Op) Verdict {
	v := Verdict{Operations: len(ops)}
	for _, op := range ops {
		switch op.Outcome {
		case Done, Conflict:
			v.Answered++
		case Unknown:
			v.Unknown++
		case Refused:
			v.Refused++
		}
	}
	var result porcupine.CheckResult
	result, v.picture = porcupine.CheckOperationsVerbose(registers, operations(ops), judged)
	v.Linearizable, v.Decided = result == porcupine.Ok, result != porcupine.Unknown
	return v
}

// Draw writes a page that shows the history and where its order breaks.
func (v Verdict) Draw(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return porcupine.Visualize(registers, v.picture, f)
}

func (v Verdict) String() string {
	what := "linearizable"
	switch {
	case !v.Decided:
		what = fmt.Sprintf("not decided within %s", judged)
	case !v.Linearizable:
		what = "NOT linearizable"
	}
	return fmt.Sprintf("%d operations (%d answered, %d refused, %d of unknown outcome): %s",
		v.Operations, v.Answered, v.Refused, v.Unknown, what)
}
