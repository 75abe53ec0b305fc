package drill

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/dev/sample/record"
)

// prefer applies a policy by which everybody calls a service in a region, if there is an endpoint, and returns when the
// API had acknowledged it.
func (d *Drill) prefer(ctx context.Context, service, region string) (record.Time, error) {
	policy := &v1alpha1.ServicePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: service},
		Spec: v1alpha1.ServicePolicySpec{
			Service:  service,
			Failover: []v1alpha1.FailoverTier{{Regions: []string{region}}, {Scope: v1alpha1.ScopeAny}},
		},
	}
	if _, err := d.client.ServicePolicies().Apply(ctx, policy, applyOptions()); err != nil {
		return 0, err
	}
	d.book.mark(report.MarkPolicy, "", fmt.Sprintf("policy: %s in %s first", service, region))
	return record.Now(), nil
}

// forget deletes the policy of a service.
func (d *Drill) forget(ctx context.Context, service string) (record.Time, error) {
	if err := d.client.ServicePolicies().Delete(ctx, service, metav1.DeleteOptions{}); err != nil {
		return 0, err
	}
	d.book.mark(report.MarkPolicy, "", fmt.Sprintf("policy of %s deleted", service))
	return record.Now(), nil
}

// policy moves one service to the last region and back.
func (d *Drill) policy(ctx context.Context) error {
	places := d.fullPlaces()
	region := places[len(places)-1].Region
	service := d.movedService(0)
	if err := d.movesTo(ctx, service, region); err != nil {
		return err
	}
	if err := pause(ctx, holdFor); err != nil {
		return err
	}
	return d.moves(ctx, service, "moves back home", func() (record.Time, error) { return d.forget(ctx, service) }, local)
}

// movesTo moves a service's traffic to a region.
func (d *Drill) movesTo(ctx context.Context, service, region string) error {
	do := func() (record.Time, error) { return d.prefer(ctx, service, region) }
	there := func(_, server string) bool { return d.regionOf(server) == region }
	return d.moves(ctx, service, "moves to "+region, do, there)
}

func local(client, server string) bool { return client == server }

// movedService is the service that the steps move: two of the three, so that one stays at home for comparison.
func (d *Drill) movedService(i int) string {
	services := d.services()
	return services[(i+1)%len(services)]
}

// moves changes intent and expects that the traffic of a service follows.
func (d *Drill) moves(
	ctx context.Context,
	service, what string,
	do func() (record.Time, error),
	want func(client, server string) bool,
) error {
	at, err := do()
	if err != nil {
		return err
	}
	settled, err := d.settledSince(ctx, at, service, want)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.book.expect("traffic of "+service+" "+what, false, err.Error())
		return nil
	}
	d.book.expect("traffic of "+service+" "+what, true, short(max(0, settled.Sub(at)))+" after the API's answer")
	return nil
}

// waitUntil polls until the condition holds, or says that it did not within the time.
func waitUntil(ctx context.Context, within, every time.Duration, condition func() bool) (bool, error) {
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := pause(ctx, every); err != nil {
			return false, err
		}
	}
	return true, nil
}
