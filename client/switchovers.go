package client

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"pentad.dev/pentad/crds/v1alpha1"
)

// Stores are the databases of units.
func (c *Client) Stores() Resource[*v1alpha1.Store, *v1alpha1.StoreList] {
	return Resource[*v1alpha1.Store, *v1alpha1.StoreList]{
		client: c, kind: v1alpha1.KindStore, plural: "stores",
		newObject: func() *v1alpha1.Store { return &v1alpha1.Store{} },
		newList:   func() *v1alpha1.StoreList { return &v1alpha1.StoreList{} },
	}
}

// Unitizations are the divisions of the business into units.
func (c *Client) Unitizations() Resource[*v1alpha1.Unitization, *v1alpha1.UnitizationList] {
	return Resource[*v1alpha1.Unitization, *v1alpha1.UnitizationList]{
		client: c, kind: v1alpha1.KindUnitization, plural: "unitizations",
		newObject: func() *v1alpha1.Unitization { return &v1alpha1.Unitization{} },
		newList:   func() *v1alpha1.UnitizationList { return &v1alpha1.UnitizationList{} },
	}
}

// Switchovers are the moves of ownership.
func (c *Client) Switchovers() Switchovers {
	return Switchovers{Resource[*v1alpha1.Switchover, *v1alpha1.SwitchoverList]{
		client: c, kind: v1alpha1.KindSwitchover, plural: "switchovers",
		newObject: func() *v1alpha1.Switchover { return &v1alpha1.Switchover{} },
		newList:   func() *v1alpha1.SwitchoverList { return &v1alpha1.SwitchoverList{} },
	}}
}

// Switchovers calls the API for switchovers, and posts decisions on them.
type Switchovers struct {
	Resource[*v1alpha1.Switchover, *v1alpha1.SwitchoverList]
}

// Approve lets a planned switchover begin, and returns it as it is then. PlanHash is the status.planHash that the
// caller has seen. The error is a conflict (apierrors.IsConflict) when the plan is another now, and invalid
// (apierrors.IsInvalid), with causes, when the switchover may not begin. Repeating an approval has no effect.
func (s Switchovers) Approve(ctx context.Context, name, planHash string) (*v1alpha1.Switchover, error) {
	approval := &v1alpha1.SwitchoverApproval{PlanHash: planHash}
	approval.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("SwitchoverApproval"))
	return s.decide(ctx, name, "approve", approval)
}

// Abort rolls a switchover back, and returns it as it is then. The error is invalid (apierrors.IsInvalid), with causes,
// when it is past its commit or has ended otherwise. Repeating an abort has no effect.
func (s Switchovers) Abort(ctx context.Context, name, reason string) (*v1alpha1.Switchover, error) {
	abort := &v1alpha1.SwitchoverAbort{Reason: reason}
	abort.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("SwitchoverAbort"))
	return s.decide(ctx, name, "abort", abort)
}

func (s Switchovers) decide(ctx context.Context, name, decision string,
	body runtime.Object) (*v1alpha1.Switchover, error) {
	out := s.newObject()
	err := s.client.call(ctx, repeatable, func(ctx context.Context, c rest.Interface) error {
		request := c.Post().Name(name).SubResource(decision).Body(body)
		return s.into(ctx, request, &metav1.CreateOptions{}, out)
	})
	return s.result(out, decision, name, err)
}
