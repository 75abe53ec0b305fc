// Package webhook drives a store's member by HTTP: a POST of one JSON object for each call, answered by one.
//
//	POST <url>
//	{"action":"Fence","store":"orders-rz01","member":"hz-a","token":"4294967301","switchover":"<uid>","step":1,
//	 "position":{"epoch":"0","index":"0"}}
//
//	200 {"token":"4294967301","position":{"epoch":"1","index":"8123"},"state":"Closed","primary":true}
//	409 {"error":"..."}  the member keeps a higher token
//	any other status     not obeyed; the body may say why
//
// The actions are those of unitization/fence: Fence, CatchUp, Promote, Open, Unfence, Status. Numbers of 64 bits are
// decimal strings, since JSON's readers disagree above 2^53. Both halves are here: New, the driver of an agent, and
// NewHandler, for members that are written in Go. Both are strict: an unknown field, a second object, a body above 64
// KiB, a number that is not canonical are no answer (fence.ErrGarbage) or a bad request (400). A redirect is not
// followed: an order goes to the member that was declared, and nowhere else.
//
// A member must keep the highest token that it has seen durably, within its own replicated data, before it acts on it,
// and answer 409 to lower ones; what does not is no fence (rule 15 of ownership).
package webhook
