// Package client is the typed Go client of the API. It knows all servers of a federation, and goes on at another one
// when its own is gone or has no quorum:
//
//	c, err := client.FromKubeconfig(path)
//	policy, err := c.ServicePolicies().Apply(ctx, &v1alpha1.ServicePolicy{...}, metav1.ApplyOptions{FieldManager: "me"})
//
// A call is repeated, at the next server and with growing pauses, while it is certain that nothing was done, or when
// doing it twice is the same as once (reads and Apply), until its context or Config.Timeout ends. When a connection
// breaks after a Create, Update or Delete was sent, nobody knows whether it was done: the error is ErrOutcomeUnknown,
// and the caller must look.
//
// Errors of the API keep their type: apierrors.IsNotFound and its sisters work on what the calls return.
package client
