package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	libstorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/apiserver/storage"
	"pentad.dev/pentad/federation/intent"
)

// Config is what the kinds are served with.
type Config struct {
	Scheme  *runtime.Scheme
	Codecs  serializer.CodecFactory
	Backend storage.Backend
	// Permits bounds how short a Unitization's permits may be declared.
	Permits PermitBound
	// Planted are faults that tests switch on to see that they are found.
	Planted Planted
}

// Planted are faults on purpose; the zero value has none.
type Planted struct {
	// StatusWritable lets writes of /status through.
	StatusWritable bool
	// OwnedFields lets a caller set what only Pentad sets.
	OwnedFields bool
	// StatusFromCaller proposes the status that a caller sent.
	StatusFromCaller bool
	// AnyPlan takes an approval for the plan as it is, whatever plan the approver has seen.
	AnyPlan bool
	// AnyPermit takes permits of any length.
	AnyPermit bool
	// NoPreview leaves it to the state machine to find that a plan is not possible.
	NoPreview bool
}

// Validate refuses a Config with holes.
func (c Config) Validate() error {
	var errs []error
	if c.Scheme == nil {
		errs = append(errs, errors.New("scheme: must be set"))
	}
	if c.Backend == nil {
		errs = append(errs, errors.New("backend: must be set"))
	}
	return errors.Join(errs...)
}

// New makes the REST storages of all kinds and their subresources, by path.
func New(cfg Config) (map[string]rest.Storage, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	storages := map[string]rest.Storage{}
	for _, kind := range kinds() {
		main, err := newREST(cfg, kind)
		if err != nil {
			return nil, fmt.Errorf("registry: kind %s: %w", kind.name, err)
		}
		storages[kind.plural] = main
		storages[kind.plural+"/status"] = &statusREST{main: main}
		if kind.name == v1alpha1.KindSwitchover {
			for name, decision := range decisions(main) {
				storages[kind.plural+"/"+name] = decision
			}
		}
	}
	return storages, nil
}

// AddFieldLabels makes the scheme take the kinds' field selectors; without it every one is refused before it is
// looked at.
func AddFieldLabels(scheme *runtime.Scheme) error {
	for _, kind := range kinds() {
		known := kind.fieldSet(v1alpha1.New(kind.name))
		convert := func(label, value string) (string, string, error) {
			if !known.Has(label) {
				return "", "", fmt.Errorf("field label not supported: %s", label)
			}
			return label, value, nil
		}
		if err := scheme.AddFieldLabelConversionFunc(v1alpha1.GroupVersion.WithKind(kind.name), convert); err != nil {
			return err
		}
	}
	return nil
}

func newREST(cfg Config, kind kind) (*mainREST, error) {
	state := storage.Intent{
		Backend:  cfg.Backend,
		Kind:     kind.name,
		Prefix:   "/" + v1alpha1.GroupName + "/" + kind.plural + "/",
		Resource: v1alpha1.GroupVersion.WithResource(kind.plural),
	}
	refs := references{intent: state, permits: cfg.Permits, planted: cfg.Planted}
	s := strategy{ObjectTyper: cfg.Scheme, NameGenerator: names.SimpleNameGenerator, refs: refs}
	attrs := func(obj runtime.Object) (labels.Set, fields.Set, error) {
		object, ok := obj.(v1alpha1.Object)
		if !ok {
			return nil, nil, fmt.Errorf("%T is not a %s", obj, kind.name)
		}
		return object.GetLabels(), kind.fieldSet(object), nil
	}
	store := &genericregistry.Store{
		NewFunc:     func() runtime.Object { return v1alpha1.New(kind.name) },
		NewListFunc: kind.newList,
		PredicateFunc: func(label labels.Selector, field fields.Selector) libstorage.SelectionPredicate {
			return libstorage.SelectionPredicate{Label: label, Field: field, GetAttrs: attrs}
		},
		DefaultQualifiedResource:  schema.GroupResource{Group: v1alpha1.GroupName, Resource: kind.plural},
		SingularQualifiedResource: schema.GroupResource{Group: v1alpha1.GroupName, Resource: kind.singular},
		CreateStrategy:            s,
		UpdateStrategy:            s,
		DeleteStrategy:            s,
		ResetFieldsStrategy:       s,
		TableConvertor:            table{kind: kind},
	}
	options := &generic.StoreOptions{RESTOptions: restOptions{intent: state, codecs: cfg.Codecs}, AttrFunc: attrs}
	if err := store.CompleteWithOptions(options); err != nil {
		return nil, err
	}
	return &mainREST{
		Store: store, kind: kind, refs: refs, codec: cfg.Codecs.LegacyCodec(v1alpha1.GroupVersion), planted: cfg.Planted,
	}, nil
}

// references is how a request looks at other objects.
type references struct {
	intent  storage.Intent
	permits PermitBound
	planted Planted
}

func (r references) lookup() v1alpha1.Lookup { return r.intent.Backend.State().View().Lookup() }

// refusals are what other objects have against an object: references that lead nowhere or to what does not fit, and,
// against a new switchover that is right otherwise, a plan that is not possible.
func (r references) refusals(object, old v1alpha1.Object) field.ErrorList {
	view := r.intent.Backend.State().View()
	errs := v1alpha1.ValidateReferences(object, old, view.Lookup())
	if !r.planted.AnyPermit {
		errs = append(errs, r.permits.refusals(object, old)...)
	}
	switchover, ok := object.(*v1alpha1.Switchover)
	if ok && old == nil && len(errs) == 0 && len(v1alpha1.Validate(switchover)) == 0 &&
		!r.planted.NoPreview {
		return intent.Preview(view, switchover)
	}
	return errs
}

// catchUp waits until this replica has everything that was acknowledged before the call.
func (r references) catchUp(ctx context.Context) error {
	_, err := r.intent.Consistent(ctx)
	return err
}

// restOptions gives the generic registry our storage in etcd's place.
type restOptions struct {
	intent storage.Intent
	codecs serializer.CodecFactory
}

func (o restOptions) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	codec := o.codecs.LegacyCodec(v1alpha1.GroupVersion)
	return generic.RESTOptions{
		StorageConfig: &storagebackend.ConfigForResource{
			GroupResource: resource,
			Config:        storagebackend.Config{Codec: codec, EncodeVersioner: v1alpha1.GroupVersion},
		},
		Decorator: func(_ *storagebackend.ConfigForResource, _ string, _ func(runtime.Object) (string, error),
			newObject, _ func() runtime.Object, _ libstorage.AttrFunc, _ libstorage.IndexerFuncs, _ *cache.Indexers,
		) (libstorage.Interface, factory.DestroyFunc, error) {
			s, err := storage.New(storage.Config{
				State: o.intent, Codec: codec, NewObject: newObject, Prefix: o.intent.Prefix,
			})
			return s, func() {}, err
		},
		EnableGarbageCollection: false, // no controller would act on what it marks
		DeleteCollectionWorkers: 1,
		ResourcePrefix:          strings.TrimSuffix(o.intent.Prefix, "/"),
	}, nil
}

// kind is what the registry must know of a kind beyond what crds/v1alpha1 says.
type kind struct {
	name, plural, singular string
	short                  []string
	newList                func() runtime.Object
	// columns are between NAME and AGE; cells are theirs.
	columns []metav1.TableColumnDefinition
	cells   func(v1alpha1.Object) []any
	// fields are what field selectors can ask for beyond metadata.name.
	fields func(v1alpha1.Object) fields.Set
}

func (k kind) fieldSet(object v1alpha1.Object) fields.Set {
	set := k.fields(object)
	set["metadata.name"] = object.GetName()
	return set
}
