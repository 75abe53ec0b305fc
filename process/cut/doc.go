// Package cut cuts a development estate's network without any right on the machine: the dialers of its processes stop
// what would pass a cut. It is for `pentad dev` and drills alone; without the variable PENTAD_CUT nothing of it is
// there.
//
// The variable names a file that says where each address is, and between which places nothing passes now. Whoever dials
// is one end of a connection, so holding up the dialer's end holds up both directions, and the listeners need nothing.
// A cut is like a cable that is pulled, not like a reset:
//
//   - a connect waits; a read waits, and tells neither bytes nor an end that arrived meanwhile; a write goes to a
//     buffer of the size of a kernel's, and waits when that is full;
//   - deadlines and Close are honoured; the other side of a connection that is closed behind the cut does not hear of
//     it until the cut heals. What was written before is delivered then: late messages are what fences are for;
//   - when the cut heals, everything goes on.
//
// Connections within a center, and to addresses that the file does not name, are never touched.
//
// Chosen against: rules of the kernel's packet filter (rights, and one loopback for all), a proxy on each connection
// (twice the context switches on a machine that has two cores for an estate), and writes that hang at once: closing a
// TLS connection writes, and would take the five seconds that crypto/tls allows it.
package cut
