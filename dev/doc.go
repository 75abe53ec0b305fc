// Package dev runs a whole estate on one machine: `pentad dev`, and the ground of `pentad drill`.
//
// A Site is an estate in one data folder: its ports, certificates, configuration files, a registry file for each
// cluster, the processes' own folders and logs. Its Supervisor starts every server, agent, relay, sample and load
// generator as a process of its own (this same binary), so that any of them can be killed with SIGKILL without the
// others noticing anything but its silence.
//
// An estate file may divide services among units (Unitizations, Stores). Then each center's sample process hosts an
// instance of each service in each cell there, with a certificate of the cell's, and the members of the stores, with
// certificates of their own; the agent serves these permits; and Stores and Unitizations are declared with the rest.
//
// Cut and Heal cut the network between places: every process follows one file (process/cut) in the data folder, which
// knows where each address is.
//
// Invariants:
//   - A data folder belongs to one Site at a time, and to one layout version and one estate file for ever.
//   - A port is picked once and is the same after every restart. Ports are taken from below the range from which the
//     kernel takes source ports: inside it, a client that keeps dialing a dead process's port may be given that very
//     port as its source and connect to itself, and a restart may find the port taken by some connection.
//   - The supervisor binds a child's listeners, hands them over by file descriptor and closes its own copies at once;
//     otherwise connections to a killed child would be accepted by the kernel and hang.
//   - Children die with the supervisor, however it dies (PR_SET_PDEATHSIG). That signal is tied to the thread that
//     forked, so one locked thread starts them all and lives as long as the supervisor.
//   - Children are in process groups of their own: Ctrl-C reaches the supervisor alone, which stops them in order
//     (clients first, servers last).
//   - Nobody is started again unless somebody asks.
package dev
