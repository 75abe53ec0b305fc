package drill

import (
	"context"
	"slices"
	"strings"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/process"
)

// The stories.
const (
	// StoryUnits moves units: planned, back, and in two disasters.
	StoryUnits = "units"
	// StoryDiscovery is about endpoints and intent, without units.
	StoryDiscovery = "discovery"
)

// Stories are all stories; the first is the default.
func Stories() []string { return []string{StoryUnits, StoryDiscovery} }

// story is what Config says, checked.
func (c *Config) story() error {
	switch {
	case c.Story != "":
	case c.Plant != "" && c.Plant != PlantAsynchronous:
		c.Story = StoryDiscovery
	default:
		c.Story = Stories()[0]
	}
	if c.Plant == PlantAsynchronous && c.Story != StoryUnits {
		return process.Usagef("plant: %q is of story %s", c.Plant, StoryUnits)
	}
	if !slices.Contains(Stories(), c.Story) {
		return process.Usagef("story: %q is none of %s", c.Story, strings.Join(Stories(), ", "))
	}
	if c.Estate == "" && c.Story == StoryDiscovery {
		c.Estate = dev.PlainEstate
	}
	return nil
}

// steps of the story, in order.
func (d *Drill) story(stopWriting func()) []step {
	if d.cfg.Story == StoryUnits {
		return d.unitSteps(stopWriting)
	}
	return d.discoverySteps(stopWriting)
}

// discoverySteps are about endpoints and intent.
func (d *Drill) discoverySteps(stopWriting func()) []step {
	return []step{
		{"steady", "every client is served in its own center", d.steady},
		{"churn", "instances are added, drained and killed", d.churn},
		{"policy", "a ServicePolicy moves a service's traffic to another region, and back", d.policy},
		{"leader", "SIGKILL of the Raft leader", d.killLeader},
		{"no quorum", "a majority of the servers is dead: discovery goes on, intent is read-only", d.noQuorum},
		{"region", "SIGKILL of every process of region " + d.victim(), d.killRegion},
		{
			"all back",
			"everything runs again, all holders are compared",
			func(ctx context.Context) error { return d.allBack(ctx, stopWriting) },
		},
	}
}

// victim is the region that trouble comes to.
func (d *Drill) victim() string { return d.site.Estate().Places()[0].Region }

// plainServices belong to no unit.
func (d *Drill) plainServices() []string {
	return slices.DeleteFunc(d.services(), func(name string) bool { return d.site.Estate().Unitization(name) != nil })
}

// shardedServices have each user at one unit.
func (d *Drill) shardedServices() []string {
	return slices.DeleteFunc(d.services(), func(name string) bool {
		u := d.site.Estate().Unitization(name)
		return u == nil || u.Shards == 1
	})
}
