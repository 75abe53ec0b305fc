package registry

import (
	"context"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent"
)

// mainREST is a kind's main resource: the generic registry's, behind checks of what that would overwrite or not know.
type mainREST struct {
	*genericregistry.Store
	kind    kind
	refs    references
	codec   runtime.Codec
	planted Planted
}

var (
	_ rest.StandardStorage    = (*mainREST)(nil)
	_ rest.ShortNamesProvider = (*mainREST)(nil)
	_ rest.CategoriesProvider = (*mainREST)(nil)
)

// ShortNames implements rest.ShortNamesProvider.
func (r *mainREST) ShortNames() []string { return r.kind.short }

// Categories implements rest.CategoriesProvider.
func (r *mainREST) Categories() []string { return []string{category} }

// Create implements rest.Creater.
func (r *mainREST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc,
	options *metav1.CreateOptions) (runtime.Object, error) {
	object := obj.(v1alpha1.Object)
	if err := r.admitNew(ctx, object, object.GetName()); err != nil {
		return nil, err
	}
	return r.Store.Create(ctx, obj, validate, options)
}

// Update implements rest.Updater. A server-side apply to what does not exist comes here too, and creates.
func (r *mainREST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc,
	update rest.ValidateObjectUpdateFunc, allowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	admitted := admittedInfo{UpdatedObjectInfo: info, main: r, name: name}
	return r.Store.Update(ctx, name, admitted, create, update, allowCreate, options)
}

// admittedInfo looks at the object that a caller makes of the old one, before the generic code overwrites anything in
// it.
type admittedInfo struct {
	rest.UpdatedObjectInfo
	main *mainREST
	name string
}

// UpdatedObject implements rest.UpdatedObjectInfo.
func (i admittedInfo) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	was := old.(v1alpha1.Object)
	obj, err := i.UpdatedObjectInfo.UpdatedObject(ctx, old)
	switch {
	case err != nil && was.GetUID() == "":
		return nil, i.main.uidAtCreate(i.name, err)
	case err != nil:
		return nil, err
	case was.GetUID() == "":
		return obj, i.main.admitNew(ctx, obj.(v1alpha1.Object), i.name)
	}
	return obj, i.main.admitUpdate(ctx, obj.(v1alpha1.Object), was, i.name)
}

// uidAtCreate says as every other refusal does what the patch handler says as a conflict: a server-side apply that
// creates brought a uid. The handler keeps the object to itself, so the value is in the error only.
func (r *mainREST) uidAtCreate(name string, err error) error {
	_, after, found := strings.Cut(err.Error(), "the provided object specified uid ")
	uid, _, ends := strings.Cut(after, ",")
	if !apierrors.IsConflict(err) || !found || !ends {
		return err
	}
	return r.invalid(name, field.ErrorList{field.Invalid(field.NewPath("metadata", "uid"), uid, setByPentad)})
}

// Delete implements rest.GracefulDeleter.
func (r *mainREST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc,
	options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	return r.Store.Delete(ctx, name, func(ctx context.Context, obj runtime.Object) error {
		if validate != nil {
			if err := validate(ctx, obj); err != nil {
				return err
			}
		}
		return r.admitDelete(ctx, obj.(v1alpha1.Object))
	}, options)
}

func (r *mainREST) admitNew(ctx context.Context, object v1alpha1.Object, name string) error {
	if errs := ValidateOwnedAtCreate(object); len(errs) > 0 && !r.planted.OwnedFields {
		return r.invalid(name, errs)
	}
	return r.settle(ctx, object, nil)
}

func (r *mainREST) admitUpdate(ctx context.Context, object, old v1alpha1.Object, name string) error {
	if errs := validateOwnedAtUpdate(object, old); len(errs) > 0 && !r.planted.OwnedFields {
		return r.invalid(name, errs)
	}
	return r.settle(ctx, object, old)
}

// settle makes sure that what the object refers to is not missing only because this replica is behind. What it still
// does not find afterwards the strategy refuses.
func (r *mainREST) settle(ctx context.Context, object, old v1alpha1.Object) error {
	if len(r.refs.refusals(object, old)) == 0 {
		return nil
	}
	return r.refs.catchUp(ctx)
}

func (r *mainREST) admitDelete(ctx context.Context, object v1alpha1.Object) error {
	if len(v1alpha1.ValidateDelete(object, r.refs.lookup())) == 0 {
		return nil
	}
	if err := r.refs.catchUp(ctx); err != nil {
		return err
	}
	if errs := v1alpha1.ValidateDelete(object, r.refs.lookup()); len(errs) > 0 {
		return r.invalid(object.GetName(), errs)
	}
	return nil
}

func (r *mainREST) invalid(name string, errs field.ErrorList) error {
	return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind(r.kind.name).GroupKind(), name, errs)
}

// decode makes an API object of a stored one.
func (r *mainREST) decode(stored *intent.Object) (runtime.Object, error) {
	obj := r.New()
	if _, _, err := r.codec.Decode(stored.Value, nil, obj); err != nil {
		return nil, err
	}
	obj.(v1alpha1.Object).SetResourceVersion(strconv.FormatUint(stored.Revision, 10))
	return obj, nil
}

// statusREST is a kind's status subresource: it can be read, and says to every writer why it cannot be written.
type statusREST struct{ main *mainREST }

var _ rest.Patcher = (*statusREST)(nil)

// New implements rest.Storage.
func (r *statusREST) New() runtime.Object { return r.main.New() }

// Destroy implements rest.Storage; the main resource's destroys both.
func (r *statusREST) Destroy() {}

// Get implements rest.Getter.
func (r *statusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.main.Get(ctx, name, options)
}

// Update implements rest.Updater, for patches too.
func (r *statusREST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, _ bool,
	options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	if r.main.planted.StatusWritable {
		return r.main.Store.Update(ctx, name, info, create, update, false, options)
	}
	return nil, false, r.main.invalid(name, field.ErrorList{
		field.Forbidden(field.NewPath("status"),
			"status is written by Pentad alone: it says what is, spec says what is wanted"),
	})
}

// ConvertToTable implements rest.TableConvertor.
func (r *statusREST) ConvertToTable(ctx context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	return r.main.ConvertToTable(ctx, obj, options)
}
