// Package stream carries permits between processes: it is the service Permits around package permit.
//
//	guard, store ──Hold──▶ Server over permit.Hop ◀─Granted, Closed─▶ Client ──Hold──▶ Server over Root ──▶ Authority
//	  Client                    relay, agent                                             federation server
//
// A [Client] is a holder's side of a stream. It asks once a second, and at once after a hint, on Ask, or when its
// holder has something to acknowledge; one ask is under way at a time. It asks one peer, the nearest that answers:
// whoever errs, says what cannot be, or is silent for longer than Timeout is left for the next, and when all have been
// tried there is a pause of 20 to 150 ms. From a farther peer it returns to a nearer one only when that has given a
// permit. A peer that answers without a right (a relay that is cut off) is stayed with for a while, longer each time,
// so that the loss of the quorum does not become a storm of connections.
//
// A [Server] serves any [Grantor]: a permit.Hop at relays and agents, a [Root] at federation servers. A stream has one
// goroutine that receives; all that is sent is sent by the stream's own.
//
// A [Root] answers relays and agents from the intent. An answer rests on a linearizable read that began after the ask
// had arrived; asks that arrive while a read is under way wait for the next one, which serves them all. The session
// must be in the state that was read, as it says of itself, and not closed; one that is not in the log is proposed
// before the first answer. Acknowledgements are batched into entries. When what permits say has changed, every stream
// gets a hint, which carries nothing: a lost or false hint costs time, never safety.
//
// Everything here may hang, lie or die. What keeps writes safe is in package permit: each holder counts from its own
// ask.
package stream
