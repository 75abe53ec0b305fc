package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is an object of the intent whose annotation is compared and swapped.
type register struct {
	Key   string
	Write bool
	// Expect and Value are what a write replaces and puts there; "": no object. Values are never used twice.
	Expect, Value string
}

// answer is what a client was told: the value read, or what a lost race met.
type answer struct {
	Value string
	OK    bool
}

// registers says which histories are linearizable. An answer of nil is none: whether the write was done, and when, is
// open.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(register).Key
			byKey[k] = append(byKey[k], op)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in, is := input.(register), state.(string)
		next := is
		if in.Write && is == in.Expect {
			next = in.Value
		}
		said, told := output.(answer)
		switch {
		case !told:
			return true, next
		case !in.Write:
			return said.Value == is, is
		case said.OK:
			return is == in.Expect, next
		}
		return is != in.Expect && said.Value == is, is
	},
	DescribeOperation: func(input, output any) string {
		in := input.(register)
		if !in.Write {
			return fmt.Sprintf("read %s: %v", in.Key, output)
		}
		return fmt.Sprintf("%s: %q -> %q: %v", in.Key, in.Expect, in.Value, output)
	},
}

// judge compares the history with the model. It is for the time after the bubble: it takes real time.
func (c *clients) judge(within time.Duration) porcupine.CheckResult {
	result := porcupine.Ok
	for _, history := range c.lives() {
		switch judged := judge(history, within); {
		case judged == porcupine.Illegal:
			return judged
		case judged == porcupine.Unknown:
			result = judged
		}
	}
	return result
}

func judge(all []porcupine.Operation, within time.Duration) porcupine.CheckResult {
	read := map[string]bool{"": true}
	for _, op := range all {
		read[op.Input.(register).Expect] = true
		if said, ok := op.Output.(answer); ok {
			read[said.Value] = true
			read[op.Input.(register).Value] = true
		}
	}
	// A write without an answer whose value nobody ever saw has changed nothing that anybody saw: nothing could replace
	// that value unseen.
	history := slices.DeleteFunc(all, func(op porcupine.Operation) bool {
		return op.Output == nil && !read[op.Input.(register).Value]
	})
	end := int64(0)
	for _, op := range history {
		end = max(end, op.Return)
	}
	for i := range history {
		history[i].ClientId = i // operations of one client overlap once the unknown ones last for ever
		if history[i].Output == nil {
			history[i].Return = end + 1
		}
	}
	result := porcupine.CheckOperationsTimeout(registers, history, within)
	return result
}
