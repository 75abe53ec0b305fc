package sim

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// leftovers are the goroutines that a run left behind when everything in it had been stopped, "" when there are none;
// problem is what synctest panicked with.
func leftovers(problem any, bubble string) string {
	if problem == nil {
		return ""
	}
	if !strings.Contains(fmt.Sprint(problem), "blocked goroutines remain") {
		panic(problem)
	}
	buffer := make([]byte, 16<<20)
	var own []string
	for _, g := range bytes.Split(buffer[:runtime.Stack(buffer, true)], []byte("\n\n")) {
		if head, _, _ := bytes.Cut(g, []byte("\n")); bubbleOf(head) == bubble {
			own = append(own, string(g))
		}
	}
	return strings.Join(own, "\n\n")
}

var inBubble = regexp.MustCompile(`synctest bubble \d+`)

func bubbleOf(header []byte) string { return string(inBubble.Find(header)) }

// bubble names the bubble of the caller.
func bubble() string {
	buffer := make([]byte, 256)
	return bubbleOf(buffer[:runtime.Stack(buffer, false)])
}

// transferring are goroutines that wait for an answer which raft gives nobody once it has been stopped in the middle of
// handing its leadership over: the process is about to end.
var transferring = []string{
	"consensus.(*Node).transferTo", "consensus.(*pending).end", "raft.(*Raft).leadershipTransfer(",
}

// rotating is the one goroutine of a log that was not closed: a node that has ended itself does not wait long for what
// may hang on its disk, and leaves its files open. In a process of its own it would be gone by then.
const rotating = "raft-wal.(*WAL).runRotate("

// leaked notes what was left behind.
func (o *outcomeOf) leaked(stacks string) {
	if stacks == "" {
		return
	}
	open := o.counts[endedItself]
	defer func() { o.counts["logs left open by who ended itself"] += o.counts[endedItself] - open }()
	for _, g := range strings.Split(stacks, "\n\n") {
		if strings.Contains(g, rotating) && open > 0 {
			open--
			continue
		}
		if !slices.ContainsFunc(transferring, func(f string) bool { return strings.Contains(g, f) }) {
			o.violations = append(o.violations, "a goroutine is left when all has been stopped: "+g)
			return
		}
		o.counts["transfers cut off by the end"]++
	}
}
