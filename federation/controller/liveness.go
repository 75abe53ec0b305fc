package controller

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// livenessLevel is the level of the estate from which clusters can expire.
	livenessLevel = 2
	// saysEvery is how often, at most, the Estate is told another reason of the same kind.
	saysEvery = 30 * time.Second
)

// expire asks the servers what they hear of clusters, and proposes what follows.
func (t *tenure) expire(ctx context.Context) {
	patience := &patience{}
	var said time.Time
	ticker := time.NewTicker(asksHearing)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		view := t.cfg.Machine.View()
		if view.Level() < livenessLevel {
			continue
		}
		hearings := t.cfg.Hearings(ctx)
		now := t.cfg.now()
		clusters, limits := declaredClusters(view)
		v := patience.judge(now, hearings, clusters, limits)
		if !proto.Equal(v.held, t.held.Load()) {
			t.held.Store(v.held)
			if v.held != nil {
				t.log.Warn("withdrawals are held back", "reason", v.held.GetReason(), "message", v.held.GetMessage())
			}
		}
		news := unsaid(view, v.held)
		if len(v.expire)+len(v.revive) == 0 && (news == sameHeld || news == otherMessage && now.Sub(said) < saysEvery) {
			continue
		}
		said = now
		t.propose(ctx, []proposal{v.proposal()})
	}
}

// proposal is the command that a verdict asks for.
func (v verdict) proposal() proposal {
	command := &intentpb.SetLiveness{Held: v.held}
	add := func(clusters []silentCluster, expired bool) {
		for _, c := range clusters {
			if len(command.Clusters) < intent.MaxBatch {
				command.Clusters = append(command.Clusters, &intentpb.ClusterLiveness{Cluster: c.name, Uid: c.uid, Expired: expired})
			}
		}
	}
	add(v.revive, false)
	add(v.expire, true)
	why := "why withdrawals are held back"
	switch {
	case len(v.expire) > 0 && len(v.revive) > 0:
		why = fmt.Sprintf("%s not heard of for keepFor; %s live again", listed(v.expire), listed(v.revive))
	case len(v.expire) > 0:
		why = listed(v.expire) + " not heard of for keepFor by a majority: withdrawn"
	case len(v.revive) > 0:
		why = listed(v.revive) + " live again"
	}
	return proposal{why: why, command: &intentpb.Command{Operation: &intentpb.Command_SetLiveness{SetLiveness: command}}}
}

// difference is how what holds withdrawals back differs from what the Estate says.
type difference int

const (
	sameHeld difference = iota
	otherMessage
	otherReason
)

// unsaid compares with the Estate's status. Without an Estate there is nothing to say it in; Controller.Held has it.
func unsaid(view intent.View, held *intentpb.Held) difference {
	estate, ok := view.Estate()
	if !ok {
		return sameHeld
	}
	shown := meta.FindStatusCondition(estate.Status.Conditions, v1alpha1.ConditionWithdrawalsHeld)
	holds := shown != nil && shown.Status == metav1.ConditionTrue
	switch {
	case holds != (held != nil), holds && shown.Reason != held.GetReason():
		return otherReason
	case holds && shown.Message != held.GetMessage():
		return otherMessage
	}
	return sameHeld
}
