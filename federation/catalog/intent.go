package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// Kinds of declared objects that the catalog reads. Keys are the objects' names, values their JSON.
const (
	kindCenter        = "Center"
	kindCluster       = "Cluster"
	kindServicePolicy = "ServicePolicy"
	kindUnitization   = "Unitization"
)

// reads are the kinds of the intent feed that the catalog reads.
func reads(kind string) bool {
	switch kind {
	case kindCenter, kindCluster, kindServicePolicy, kindUnitization, model.KindOwnership, model.KindLiveness:
		return true
	}
	return false
}

// intent is what the catalog reads of the declared objects, by object name.
type intent struct {
	centers  map[string]decoded[*v1alpha1.CenterSpec]
	clusters map[string]decoded[*declaredCluster]
	policies map[string]decoded[*v1alpha1.ServicePolicySpec]
	// policyOf are the names of the ServicePolicies of a service. The intent allows one; should there be two, the first
	// by name holds, everywhere.
	policyOf map[string][]string

	// livenesses are the quorum's decisions, by cluster.
	livenesses map[string]decoded[*modelpb.Liveness]

	unitizations map[string]decoded[*v1alpha1.UnitizationSpec]
	ownerships   map[string]decoded[*modelpb.Ownership]
	// known is what the two say together, by Unitization.
	known map[string]*unitization
	// boundBy are the Unitizations that bind a service, by name. The intent allows one.
	boundBy map[string][]*unitization
	rules   uint64
}

func newIntent() intent {
	return intent{
		centers:  map[string]decoded[*v1alpha1.CenterSpec]{},
		clusters: map[string]decoded[*declaredCluster]{},
		policies: map[string]decoded[*v1alpha1.ServicePolicySpec]{},
		policyOf: map[string][]string{},

		livenesses: map[string]decoded[*modelpb.Liveness]{},

		unitizations: map[string]decoded[*v1alpha1.UnitizationSpec]{},
		ownerships:   map[string]decoded[*modelpb.Ownership]{},
		known:        map[string]*unitization{},
		boundBy:      map[string][]*unitization{},
	}
}

// place returns where a cluster is. False: it has no Cluster object, or its center no Center object.
func (in *intent) place(cluster string) (center, region string, ok bool) {
	cl, ok := in.clusters[cluster]
	if !ok {
		return "", "", false
	}
	ce, ok := in.centers[cl.message.Spec.Center]
	if !ok {
		return "", "", false
	}
	return cl.message.Spec.Center, ce.message.Region, true
}

func (in *intent) policy(service string) *v1alpha1.ServicePolicySpec {
	names := in.policyOf[service]
	if len(names) == 0 {
		return nil
	}
	return in.policies[names[0]].message
}

// applyIntent takes a batch of the intent feed.
func (c *Catalog) applyIntent(b feed.Batch, touched changes) {
	defer c.intent.dropUnitizations()
	named := map[recordID]struct{}{}
	for _, r := range b.Records {
		if b.Reset && r.Value != nil {
			named[recordID{feed.IntentID, r.Kind, r.Key}] = struct{}{}
		}
		if reads(r.Kind) {
			c.judge(feed.IntentID, r, c.declare(r.Kind, r.Key, r.Value, touched))
		}
	}
	if !b.Reset {
		return
	}
	for r := range c.rejected {
		if _, ok := named[r]; !ok && r.feed == feed.IntentID {
			delete(c.rejected, r)
		}
	}
	undeclareUnnamed(c, kindCenter, c.intent.centers, named, touched)
	undeclareUnnamed(c, kindCluster, c.intent.clusters, named, touched)
	undeclareUnnamed(c, kindServicePolicy, c.intent.policies, named, touched)
	undeclareUnnamed(c, kindUnitization, c.intent.unitizations, named, touched)
	undeclareUnnamed(c, model.KindOwnership, c.intent.ownerships, named, touched)
	undeclareUnnamed(c, model.KindLiveness, c.intent.livenesses, named, touched)
}

func undeclareUnnamed[M any](c *Catalog, kind string, held map[string]decoded[M], named map[recordID]struct{},
	touched changes) {
	for _, name := range slices.Collect(maps.Keys(held)) {
		if _, ok := named[recordID{feed.IntentID, kind, name}]; !ok {
			// Deleting cannot fail: nothing is decoded.
			_ = c.declare(kind, name, nil, touched)
		}
	}
}

// declare gives an object its value; nil removes it. With an error nothing has changed.
func (c *Catalog) declare(kind, name string, value []byte, touched changes) error {
	switch kind {
	case kindCenter:
		changed, err := declare(c.intent.centers, name, value, decodeCenter)
		if changed {
			c.touchCenter(name, touched)
		}
		return err
	case kindCluster:
		changed, err := declare(c.intent.clusters, name, value, decodeCluster)
		if cl := c.clusters[name]; changed && cl != nil && !c.broken.has(breakTouch) {
			cl.touch(touched)
		}
		return err
	case kindUnitization:
		return c.declareUnitization(name, value, touched)
	case model.KindOwnership:
		return c.declareOwnership(name, value, touched)
	case model.KindLiveness:
		return c.declareLiveness(name, value, touched)
	default:
		return c.declarePolicy(name, value, touched)
	}
}

func (c *Catalog) touchCenter(center string, touched changes) {
	for name, cl := range c.clusters {
		if d := c.intent.clusters[name].message; d != nil && d.Spec.Center == center {
			cl.touch(touched)
		}
	}
	c.intent.touchCells(center, touched)
}

func (c *Catalog) declarePolicy(name string, value []byte, touched changes) error {
	old := c.intent.policies[name].message
	changed, err := declare(c.intent.policies, name, value, decodePolicy)
	if !changed {
		return err
	}
	if old != nil {
		names := slices.DeleteFunc(c.intent.policyOf[old.Service], func(n string) bool { return n == name })
		if c.intent.policyOf[old.Service] = names; len(names) == 0 {
			delete(c.intent.policyOf, old.Service)
		}
		if !c.broken.has(breakPolicy) {
			touched.add(old.Service)
		}
	}
	if now := c.intent.policies[name].message; now != nil {
		names := append(c.intent.policyOf[now.Service], name)
		slices.Sort(names)
		c.intent.policyOf[now.Service] = names
		touched.add(now.Service)
	}
	return nil
}

func declare[M any](held map[string]decoded[M], name string, value []byte,
	decode func(string, []byte) (M, error)) (changed bool, err error) {
	d := held[name]
	if changed, err = d.put(name, value, decode); err != nil || !changed {
		return false, err
	}
	if value == nil {
		delete(held, name)
	} else {
		held[name] = d
	}
	return true, nil
}

func decodeCenter(name string, value []byte) (*v1alpha1.CenterSpec, error) {
	o := &v1alpha1.Center{}
	if err := json.Unmarshal(value, o); err != nil {
		return nil, fmt.Errorf("center %q: %w", name, err)
	}
	if o.Spec.Region == "" {
		return nil, fmt.Errorf("center %q: spec.region: Required value", name)
	}
	return &o.Spec, nil
}

func decodeCluster(name string, value []byte) (*declaredCluster, error) {
	o := &declaredCluster{}
	if err := json.Unmarshal(value, o); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", name, err)
	}
	if o.Spec.Center == "" {
		return nil, fmt.Errorf("cluster %q: spec.center: Required value", name)
	}
	return o, nil
}

func decodePolicy(name string, value []byte) (*v1alpha1.ServicePolicySpec, error) {
	o := &v1alpha1.ServicePolicy{}
	if err := json.Unmarshal(value, o); err != nil {
		return nil, fmt.Errorf("servicepolicy %q: %w", name, err)
	}
	if o.Spec.Service == "" {
		return nil, fmt.Errorf("servicepolicy %q: spec.service: Required value", name)
	}
	return &o.Spec, nil
}
