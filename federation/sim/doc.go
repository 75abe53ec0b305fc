// Package sim runs whole estates in simulated time: real servers, relays, guards, agents and stores in one process, over
// a network and disks that fail as a seed says. Everything in it is a test; nothing that ships imports it. See DESIGN.md.
package sim
