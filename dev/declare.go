package dev

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/federation/identity"
)

// fieldManager is who declares, for server-side apply.
const fieldManager = "pentad-dev"

// declareWithin bounds the declaration of one object; the first waits for the first leader.
const declareWithin = 20 * time.Second

// Client is a client of the API with the operator's identity, for the given servers' addresses; none means all. Timeout
// bounds each call, 0 is the client's default.
func (s *Site) Client(timeout time.Duration, addresses ...string) (*client.Client, error) {
	if len(addresses) == 0 {
		addresses = s.API()
	}
	source, err := identity.Load(s.operator)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{
		Endpoints: addresses, TLS: source.Client(identity.RoleServer), UserAgent: fieldManager, Timeout: timeout,
	})
}

// declare applies the estate's Centers, Clusters, Stores and Unitizations, in this order, and nothing else. What was
// declared before stays where switchovers have moved it.
func (s *Site) declare(ctx context.Context) error {
	c, err := s.Client(declareWithin)
	if err != nil {
		return err
	}
	defer c.Close()
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	for _, place := range s.estate.Places() {
		_, err := c.Centers().Apply(ctx, &v1alpha1.Center{
			ObjectMeta: metav1.ObjectMeta{Name: place.Center},
			Spec:       v1alpha1.CenterSpec{Region: place.Region, Role: place.Role},
		}, options)
		if err != nil {
			return err
		}
		if !place.Full() {
			continue
		}
		_, err = c.Clusters().Apply(ctx, &v1alpha1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Name: place.Cluster()},
			Spec:       v1alpha1.ClusterSpec{Center: place.Center, Type: v1alpha1.ClusterVM},
		}, options)
		if err != nil {
			return err
		}
	}
	for _, store := range s.Stores() {
		if _, err := c.Stores().Apply(ctx, store, options); err != nil {
			return err
		}
	}
	for _, unitization := range s.Unitizations() {
		if _, err := c.Unitizations().Apply(ctx, unitization, options); err != nil {
			return err
		}
	}
	return nil
}

// Stores are the Store objects that the estate declares.
func (s *Site) Stores() []*v1alpha1.Store {
	clusters := map[string]string{}
	for _, place := range s.estate.Places() {
		clusters[place.Center] = place.Cluster()
	}
	var objects []*v1alpha1.Store
	for _, store := range s.estate.Stores {
		object := &v1alpha1.Store{
			ObjectMeta: metav1.ObjectMeta{Name: store.Name},
			Spec: v1alpha1.StoreSpec{
				Primary: store.Primary, Replication: v1alpha1.ReplicationSynchronous, HoldsPermit: true,
			},
		}
		for _, center := range store.Members {
			object.Spec.Members = append(object.Spec.Members, v1alpha1.StoreMember{
				Center: center, Cluster: clusters[center],
				Webhook: &v1alpha1.WebhookDriver{URL: "http://" + s.webhooks[store.Name][center]},
			})
		}
		objects = append(objects, object)
	}
	return objects
}

// Unitizations are the Unitization objects that the estate declares.
func (s *Site) Unitizations() []*v1alpha1.Unitization {
	var objects []*v1alpha1.Unitization
	for _, u := range s.estate.Unitizations {
		object := &v1alpha1.Unitization{
			ObjectMeta: metav1.ObjectMeta{Name: u.Name},
			Spec:       v1alpha1.UnitizationSpec{Shards: int32(u.Shards), Isolation: v1alpha1.IsolationStop, Guard: true},
		}
		kind := v1alpha1.UnitSharded
		if u.Header != "" {
			object.Spec.Key = &v1alpha1.ShardingKey{Header: u.Header, Function: keyFunction(u.Shards)}
		} else {
			kind = v1alpha1.UnitGlobal
		}
		for _, name := range u.Services {
			object.Spec.Services = append(object.Spec.Services, v1alpha1.ServiceBinding{
				Name: name, Type: kind, Reads: sample.Reads(name),
			})
		}
		for _, unit := range u.Units {
			out := v1alpha1.Unit{Name: unit.Name, Type: unit.Type, Shards: unit.Shards, Store: unit.Store}
			for _, center := range unit.Cells {
				out.Cells = append(out.Cells, v1alpha1.Cell{Center: center})
			}
			for _, center := range unit.Standby {
				out.Cells = append(out.Cells, v1alpha1.Cell{Center: center, Standby: true})
			}
			object.Spec.Units = append(object.Spec.Units, out)
		}
		objects = append(objects, object)
	}
	return objects
}

// keyFunction reads a user's shard off the end of the id where that can be done.
func keyFunction(shards int) v1alpha1.KeyFunction {
	for shards%10 == 0 {
		shards /= 10
	}
	if shards == 1 {
		return v1alpha1.KeyLastDigits
	}
	return v1alpha1.KeyModulo
}
