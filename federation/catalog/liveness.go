package catalog

import (
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// SetSilent says whether a cluster is silent, as its holder judges; clusters are live until it is called. It returns the
// names of the services whose merged form changed, sorted.
func (c *Catalog) SetSilent(name string, silent bool) []string {
	cl := c.clusterOf(name)
	if cl.silent == silent {
		return nil
	}
	cl.silent = silent
	return c.remergeCluster(cl)
}

// Keep has a cluster's endpoints demoted at most: the holder is in the cluster itself. It returns the names of the
// services whose merged form changed, sorted.
func (c *Catalog) Keep(name string) []string {
	cl := c.clusterOf(name)
	cl.kept = true
	return c.remergeCluster(cl)
}

// Expired says whether the quorum has decided that a cluster has expired. Its endpoints are withdrawn while it is silent,
// too.
func (c *Catalog) Expired(name string) bool { return c.intent.expired(name) }

// Withdrawn are the clusters whose endpoints are withdrawn, in no order.
func (c *Catalog) Withdrawn() (names []string) {
	for name := range c.intent.livenesses {
		if cl := c.clusters[name]; cl != nil && c.withdrawn(cl) {
			names = append(names, name)
		}
	}
	return names
}

func (c *Catalog) remergeCluster(cl *cluster) []string {
	touched := changes{}
	cl.touch(touched)
	return c.remerge(touched)
}

// withdrawn says whether a cluster's endpoints are left out: its expiry is the quorum's decision, and this holder hears
// nothing of it either. Who hears a cluster knows better than a decision that is on its way; so demotion comes before
// withdrawal, always, and a cluster that is back is back at once, with or without a quorum.
func (c *Catalog) withdrawn(cl *cluster) bool {
	expired := c.intent.expired(cl.name)
	switch {
	case c.broken.has(breakExpired):
		return false
	case c.broken.has(breakSilent):
		return cl.silent
	case c.broken.has(breakHeard):
		return expired && !cl.kept
	case c.broken.has(breakOwn):
		return expired && cl.silent
	}
	return expired && cl.silent && !cl.kept
}

func (in *intent) expired(cluster string) bool {
	return in.livenesses[cluster].message.GetState() == modelpb.LivenessState_LIVENESS_STATE_EXPIRED
}

// declareLiveness gives a cluster the quorum's decision; nil takes it back. With an error nothing has changed.
func (c *Catalog) declareLiveness(name string, value []byte, touched changes) error {
	changed, err := declare(c.intent.livenesses, name, value, model.DecodeLiveness)
	if cl := c.clusters[name]; changed && cl != nil && !c.broken.has(breakLiveness) {
		cl.touch(touched)
	}
	return err
}
