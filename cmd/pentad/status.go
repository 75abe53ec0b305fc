package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/process"
)

func newStatusCommand() *cobra.Command {
	var data string
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "status [ADMIN-HOST:PORT ...]",
		Short: "Show whether writes go on, who leads, who follows, who is behind and who is silent",
		Long: `Ask servers, relays and agents what they know, and show it: first whether writes go on, and how much more may be lost.
It needs no leader. Asked are the admin pages that are named; or, by --kubeconfig, each server that it names, at its API;
else the processes of the estate in --data, and where there is none, the servers of $KUBECONFIG. Who does not answer
within two seconds is listed too, and makes the exit status 1.`,
		RunE: func(cmd *cobra.Command, addresses []string) error {
			for _, address := range addresses {
				if err := process.Address("address", address); err != nil {
					return &process.UsageError{Err: err}
				}
			}
			if api.kubeconfig != "" && len(addresses) > 0 {
				return process.Usagef("--kubeconfig: %q: either it or addresses say whom to ask, not both", api.kubeconfig)
			}
			pages, err := asked(cmd, addresses, data, &api)
			if err != nil {
				return err
			}
			return showStatus(cmd.OutOrStdout(), pages)
		},
	}
	api.register(cmd)
	cmd.Flags().StringVar(&data, "data", defaultData, "the data `folder` of an estate on this machine")
	return cmd
}

func showStatus(out io.Writer, all []page) error {
	slices.SortFunc(all, func(a, b page) int { return cmp.Compare(a.name, b.name) })
	writeVerdict(out, all)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	writeServers(table, all)
	writeSeats(table, all)
	writeClusters(table, all)
	writeRelays(table, all)
	writeAgents(table, all)
	writeStores(table, all)
	silent := writeErrors(table, all)
	if err := table.Flush(); err != nil {
		return err
	}
	writeRefused(out, all)
	writeReconciling(out, all)
	writeHeld(out, all)
	if silent > 0 {
		return fmt.Errorf("%d of %d processes did not answer", silent, len(all))
	}
	return nil
}

func writeServers(out io.Writer, pages []page) {
	if !slices.ContainsFunc(pages, func(p page) bool { return p.server != nil && p.err == nil }) {
		return
	}
	fmt.Fprintln(out, "SERVER\tREGION\tCENTER\tSTATE\tTERM\tLEADER\tCOMMIT\tREVISION\tLEVEL\tFEEDS\tSTALE\tPEERS")
	for _, p := range pages {
		s := p.server
		if s == nil || p.err != nil {
			continue
		}
		stale, connected := 0, 0
		for _, f := range s.Feeds {
			if f.Stale {
				stale++
			}
		}
		for _, peer := range s.Peers {
			if peer.Connected {
				connected++
			}
		}
		leader, state := cmp.Or(s.Raft.Leader, "none"), s.Raft.State
		switch {
		case s.Waits != "":
			state = "not enrolled"
		case s.Raft.DiskFull:
			state += ", DISK FULL"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%s\t%d\t%d\t%d/%d\t%d\t%d\t%d/%d\n",
			s.Name, s.Region, s.Center, state, s.Raft.Term, leader, s.Raft.Commit, s.Revision, s.Level, s.Knows, len(s.Feeds), stale, connected, len(s.Peers))
	}
}

// writeSeats is what the leader says of all servers, also of those that do not answer here, and what those wait for that
// are none yet.
func writeSeats(out io.Writer, pages []page) {
	titled := false
	for _, p := range pages {
		if p.server == nil || p.err != nil || len(p.server.Members) == 0 || p.server.Raft.State != "leader" {
			continue
		}
		fmt.Fprintln(out, "\nMEMBER\tROLE\tWANTED\tHEARD\tBEHIND\tLEVEL\tVERSION")
		for _, m := range p.server.Members {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", m.Name, m.Role, m.Wanted, heard(m.Heard), m.Behind, m.Level, m.Version)
		}
		break
	}
	for _, p := range pages {
		if p.server == nil || p.err != nil || p.server.Waits == "" {
			continue
		}
		if !titled {
			fmt.Fprintln(out, "\nNOT ENROLLED\tWHY")
			titled = true
		}
		fmt.Fprintf(out, "%s\t%s\n", p.server.Name, p.server.Waits)
	}
}

func writeRelays(out io.Writer, pages []page) {
	if !slices.ContainsFunc(pages, func(p page) bool { return p.relay != nil && p.err == nil }) {
		return
	}
	fmt.Fprintln(out, "\nRELAY\tREGION\tCENTER\tFEEDS\tSTALE\tSILENT CLUSTERS\tWITHDRAWN\tRESOURCES\tSTREAMS\tNACKS\tPERMIT\tGUARDS\tPROBLEMS")
	for _, p := range pages {
		r := p.relay
		if r == nil || p.err != nil {
			continue
		}
		stale, nacks := 0, uint64(0)
		for _, f := range r.Feeds {
			if f.Stale {
				stale++
			}
		}
		for _, stream := range r.Streams {
			for _, t := range stream.Types {
				nacks += t.Nacks
			}
		}
		silent, withdrawn := cmp.Or(strings.Join(r.Silent, ","), "none"), cmp.Or(strings.Join(r.Withdrawn, ","), "none")
		fmt.Fprintf(out, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t%s\t%d\t%d\n",
			r.Name, r.Region, r.Center, len(r.Feeds), stale, silent, withdrawn, r.Resources.Records, len(r.Streams), nacks,
			left(r.Guards.Left), r.Guards.Holders, len(r.Problems))
	}
}

func writeAgents(out io.Writer, pages []page) {
	if !slices.ContainsFunc(pages, func(p page) bool { return p.agent != nil && p.err == nil }) {
		return
	}
	fmt.Fprintln(out, "\nAGENT OF\tREGION\tCENTER\tSOURCE\tANSWERED\tSERVICES\tENDPOINTS\tERROR")
	for _, p := range pages {
		a := p.agent
		if a == nil || p.err != nil {
			continue
		}
		for _, s := range a.Sources {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%t\t%d\t%d\t%s\n",
				a.Cluster, a.Region, a.Center, s.Name, s.Answered, s.Services, s.Endpoints, cmp.Or(s.Error, "none"))
		}
	}
}

// writeStores is about the members of stores that agents drive.
func writeStores(out io.Writer, pages []page) {
	titled := false
	for _, p := range pages {
		if p.agent == nil || p.err != nil || p.agent.Stores == nil {
			continue
		}
		for _, m := range p.agent.Stores.Members {
			if !titled {
				fmt.Fprintln(out, "\nSTORE\tMEMBER\tPERMIT OF ITS AGENT\tORDER\tTOKEN\tPOSITION\tERROR")
				titled = true
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", m.Store, m.Member, left(p.agent.Permits.Hop.Left),
				cmp.Or(m.Order, "none"), m.Report.Token, m.Report.Position, cmp.Or(m.Report.Error, "none"))
		}
	}
}

// left says whether a permit holds.
func left(d time.Duration) string {
	if d <= 0 {
		return "none"
	}
	return d.Round(100 * time.Millisecond).String()
}

func writeErrors(out io.Writer, pages []page) (silent int) {
	for _, p := range pages {
		if p.err == nil {
			continue
		}
		if silent == 0 {
			fmt.Fprintln(out, "\nNO ANSWER\tERROR")
		}
		silent++
		err := p.err
		var request *url.Error // it repeats where was asked
		if errors.As(err, &request) {
			err = request.Err
		}
		fmt.Fprintf(out, "%s\t%v\n", p.name, err)
	}
	return silent
}

// writeReconciling says what a restored estate waits for, by the first server that knows.
func writeReconciling(out io.Writer, all []page) {
	for _, p := range all {
		if p.server == nil || len(p.server.Reconciling) == 0 {
			continue
		}
		fmt.Fprintf(out, "\nrestored, as server %s knows:\n", p.server.Name)
		for _, line := range p.server.Reconciling {
			fmt.Fprintf(out, "  - %s\n", line)
		}
		return
	}
}
