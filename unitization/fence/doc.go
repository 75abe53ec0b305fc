// Package fence drives the members of stores: it closes them, has them catch up, promotes and opens them, as
// StoreOrders say (rules 12 to 17 of ownership).
//
// A Driver is one way to speak to one member; each of its calls is idempotent, and carries a token that the member
// keeps durably before it acts, and lower than which it refuses (rule 15). The drivers are subfolders: webhook. A
// Runner is what an agent does with the order in force at one member, as a pure core: which call to make next, when to
// give one up, what to report. Obey says whether a member's answer is what an order asks for.
//
// Invariants of the Runner:
//   - only the order in force is obeyed, and only what was answered to it, since it is in force, counts: the answer of
//     a call made for another order is dropped, whatever it says;
//   - "obeyed" is what the member says of itself and what fits the order; all else is an error in the report, and the
//     call is made again: an order is never given up, only taken the place of;
//   - a call is bounded by the timeout, and at most one is under way whose answer would count. A new order ends it.
//
// Rejected: taking "200 OK" for obedience. A proxy, an old version or a wrong URL answer so, too; the answer must bear
// the token and the state that were asked for.
package fence
