// Package oracle judges a drill: a History of what was recorded goes in, a Verdict with every violation comes out. It
// is pure, so that planted violations can show that it finds them.
//
// What is judged, and how each word is meant:
//
//   - Removed: no request is sent to an endpoint more than Bounds.Removal after it was removed. A request's instant is
//     when the client's program made it; an endpoint is removed when the registry file without it, or with it as
//     Draining, was put in place. The bound is not the time that the change travels (that is measured apart), but the
//     promise.
//   - Starved: no client is left without endpoints that existed. An endpoint exists while a registry names it as Ready
//     and its process runs, both for Bounds.Settle at least. Two signs: a request that failed because the client had
//     none to pick from, and a client that, from when it asked, got no good answer from a service for Bounds.Starved.
//   - Lost: no acknowledged intent is lost. Each object of the drill's writer is written again and again, one write at
//     a time, and every write that changes the spec raises its generation by one; so each acknowledged write must have
//     a higher generation than the one before, and at the end every server must show the object at the last
//     acknowledged generation or later, by at most as many as there were writes without an answer.
//   - Unequal: at the end every holder has every feed at the same position with the same digest, and relays of one
//     center render the same resources.
//   - Errors: the failed requests that were not in flight at a killed process are fewer than Bounds.ErrorRatio of all.
//     A request was in flight at a killed process when it was sent to one of its endpoints, began before the process
//     was gone (its exit collected, which is after the kernel closed its sockets) and ended after the signal was sent.
//     A request that began later, before the client noticed the closed connection, is an error like any other, of a
//     cause of its own. Requests of a client that was killed itself have no outcome and are counted apart.
//   - Reach: every change of an endpoint arrives at every data plane that is there all the time.
//   - Speed: the bounds of Bounds for an endpoint's change and for a new leader. A leader's death is judged only while
//     a majority of the servers runs: without one nobody can lead. Speed hangs on the machine, so it is a judgement of
//     its own, beside the one about promises.
//   - Steps: what each step of the drill expects was seen.
//   - Seen: there was enough to judge: events of each kind, and clients that could make most of their requests (a
//     machine that stands still breaks no promise, but shows none either). A verdict about nothing is no.
package oracle
