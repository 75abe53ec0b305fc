// Package controller is what only the leader does, in a context that ends with its leadership: it carries switchovers
// from step to step and closes the sessions of those who are gone. It decides nothing: every proposal is judged again by
// the replicated state machine, and agents act on what is committed alone (rule 14 of ownership), so a deposed leader's
// controller can do no harm.
//
// What it adds to the state machine is time. It waits out permits on its own clock, from when it saw the freeze in its own
// term, in full again under a new leader (rule 5); it lets the data planes within reach learn of new cells before a freeze
// (rule 19) and follow after the opening; and it turns what agents report into commands.
//
// What is planned waits before its freeze, while writes go on, for whatever would keep it frozen: a relay that has just
// started acknowledges nothing for T (rule 6), and the session of one that is out of reach is closed, and removed when its
// permits have ended. Only one that is lost between the approval and its acknowledgement costs time after the freeze: three
// seconds until it counts as lost, then T. A disaster freezes at once, since its wait begins there, and takes no relay of the
// centers that it leaves for prepared or unprepared.
//
// An agent is heard of the members that it drives alone, whatever it writes into its feed.
//
// It has clusters expire (rule 11 of intent): every two seconds it asks all servers what they hear of clusters, and
// proposes that one has expired when a majority of the voters says that it has listened for the cluster's keepFor and heard
// nothing, nobody says otherwise, and that has been so for some rounds. How long nothing was heard the servers remember, by
// their monotonic clocks and only for as long as they listened without a break, so a new leader begins with what they say
// and waits only those rounds. Who does not answer counts for neither side; a cluster comes back by a fresh sign of life
// alone. The switch and the bound of the Estate hold withdrawals back, all or none.
//
// next and patience.judge are the pure halves: state, clock and what was heard in; proposals out.
package controller
