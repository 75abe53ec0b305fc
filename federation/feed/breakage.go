package feed

import "pentad.dev/pentad/federation/feed/feedpb"

// breakage is a set of rules that a test breaks on purpose, to see that the property tests find it. Production code
// never sets one; the zero value keeps every rule. Each is a misreading of DESIGN.md that looks plausible.
type breakage uint64

const (
	highestAtOpenOnly   breakage = 1 << iota // 4: highest is heard at open, not with acknowledgements
	highestNotPassed                         // 4: a holder states its own position only
	walkWithoutLock                          // 7: the walk reads the log as it is when a frame is cut
	olderApplied                             // 9: to <= held is not dropped
	gapApplied                               // 9: a delta with from > held is applied
	refusalKeepsStream                       // 10: a refused batch is skipped
	senderRemembers                          // 11: the sender goes on from where its last stream ended
	floorAtOpenOnly                          // 12: cursor < floor is compared when the stream opens
	floorNotTaken                            // 13: a reset's floor and tombstones are not taken over
	floorNotSaved                            // 14: the snapshot has no floor
	positionFromRecords                      // 14: the position is derived from the records
	wideningDropped                          // 16: an asked reset with to = held is dropped as not newer
	filterNotCompared                        // 16: frames of another filter are applied
	servesWider                              // 16: a filtered copy serves a reader with a wider filter
	noSecondStream                           // 18: a starved copy stays with its one stream
	keptNotCompared                          // 15: a kept bucket is not compared at commit
	digestCoversAt                           // 15: digests cover At
	digestsServeLater                        // 15: digests serve later batches than the first
	keptFloorNotRaised                       // 15: after a reset that kept a bucket the floor is the sender's
	sealNotCompared                          // 19: seals are not compared
	filteredNotSealed                        // 19: a filtered hop has no seal
	freshCached                              // 20: a stream begins with the mark that the holder once heard
	freshThoughBehind                        // 20: a mark ends stale though the copy is at another position
	removalForgotten                         // a removed feed's position is forgotten
	labelNotSaved                            // the snapshot has no label
	labelNotTaken                            // a reset's label is not taken over
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }

// tamper sees a frame before its receiver does; true: it has dealt with it.
type tamper func(*receiver, *incoming, *feedpb.Frame) bool
