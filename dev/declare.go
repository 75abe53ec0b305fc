package dev

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
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

// declare applies the estate's Centers and Clusters, and nothing else.
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
	return nil
}
