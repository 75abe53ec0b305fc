package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"pentad.dev/pentad/crds/v1alpha1"
)

// Resource calls the API for one kind: T is a pointer to the kind's type, L to its list's.
type Resource[T v1alpha1.Object, L runtime.Object] struct {
	client       *Client
	kind, plural string
	newObject    func() T
	newList      func() L
}

// Get reads an object. ResourceVersion "0" reads what the server has, which may be old, also without a quorum.
func (r Resource[T, L]) Get(ctx context.Context, name string, options metav1.GetOptions) (T, error) {
	out := r.newObject()
	err := r.client.call(ctx, repeatable, func(ctx context.Context, c rest.Interface) error {
		return r.into(ctx, c.Get().Name(name), &options, out)
	})
	return r.result(out, "get", name, err)
}

// List reads all objects that the options select, or a page of them.
func (r Resource[T, L]) List(ctx context.Context, options metav1.ListOptions) (L, error) {
	out := r.newList()
	err := r.client.call(ctx, repeatable, func(ctx context.Context, c rest.Interface) error {
		return r.into(ctx, c.Get(), &options, out)
	})
	if err != nil {
		return out, fmt.Errorf("list %s: %w", r.plural, err)
	}
	return out, nil
}

// Create creates an object.
func (r Resource[T, L]) Create(ctx context.Context, object T, options metav1.CreateOptions) (T, error) {
	out := r.newObject()
	err := r.client.call(ctx, once, func(ctx context.Context, c rest.Interface) error {
		return r.into(ctx, c.Post().Body(r.typed(object)), &options, out)
	})
	return r.result(out, "create", object.GetName(), err)
}

// Update replaces an object; with a resourceVersion only if it is still at that.
func (r Resource[T, L]) Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error) {
	out := r.newObject()
	err := r.client.call(ctx, once, func(ctx context.Context, c rest.Interface) error {
		return r.into(ctx, c.Put().Name(object.GetName()).Body(r.typed(object)), &options, out)
	})
	return r.result(out, "update", object.GetName(), err)
}

// Apply declares an object by server-side apply: what the caller (options.FieldManager, which must be set) does not
// name and nobody else does goes away; what others own is a conflict unless options.Force. Only name, labels,
// annotations and spec of the object are sent.
func (r Resource[T, L]) Apply(ctx context.Context, object T, options metav1.ApplyOptions) (T, error) {
	out := r.newObject()
	if options.FieldManager == "" {
		return r.result(out, "apply", object.GetName(), errors.New("options: fieldManager: must be set"))
	}
	body, err := r.declaration(object)
	if err != nil {
		return r.result(out, "apply", object.GetName(), err)
	}
	patch := options.ToPatchOptions()
	err = r.client.call(ctx, repeatable, func(ctx context.Context, c rest.Interface) error {
		return r.into(ctx, c.Patch(types.ApplyPatchType).Name(object.GetName()).Body(body), &patch, out)
	})
	return r.result(out, "apply", object.GetName(), err)
}

// Delete deletes an object.
func (r Resource[T, L]) Delete(ctx context.Context, name string, options metav1.DeleteOptions) error {
	err := r.client.call(ctx, once, func(ctx context.Context, c rest.Interface) error {
		return c.Delete().Resource(r.plural).Name(name).Body(&options).MaxRetries(0).Do(ctx).Error()
	})
	if err != nil {
		return fmt.Errorf("delete %s %q: %w", r.kind, name, err)
	}
	return nil
}

// Watch opens a watch at the first server that takes it. It ends with ctx, with Stop, or with its connection; the
// resourceVersion of the last event, bookmarks included, continues it at any server, until that is 410 Gone.
func (r Resource[T, L]) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.Watch = true
	stream, err := r.client.open(ctx, func(ctx context.Context, c rest.Interface) (watch.Interface, error) {
		return c.Get().Resource(r.plural).VersionedParams(&options, r.client.parameters).MaxRetries(0).Watch(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", r.plural, err)
	}
	return stream, nil
}

func (r Resource[T, L]) into(ctx context.Context, request *rest.Request, options, out runtime.Object) error {
	return request.Resource(r.plural).VersionedParams(options, r.client.parameters).MaxRetries(0).Do(ctx).Into(out)
}

func (r Resource[T, L]) result(out T, verb, name string, err error) (T, error) {
	if err != nil {
		return out, fmt.Errorf("%s %s %q: %w", verb, r.kind, name, err)
	}
	return out, nil
}

// typed says the kind in a copy: callers leave it out.
func (r Resource[T, L]) typed(object T) runtime.Object {
	out := object.DeepCopyObject()
	out.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(r.kind))
	return out
}

func (r Resource[T, L]) declaration(object T) ([]byte, error) {
	encoded, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var whole struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(encoded, &whole); err != nil {
		return nil, err
	}
	metadata := map[string]any{"name": object.GetName()}
	if labels := object.GetLabels(); len(labels) > 0 {
		metadata["labels"] = labels
	}
	if annotations := object.GetAnnotations(); len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": r.kind, "metadata": metadata, "spec": whole.Spec,
	})
}
