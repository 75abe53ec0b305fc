package apiserver

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	registryrest "k8s.io/apiserver/pkg/registry/rest"
	genericserver "k8s.io/apiserver/pkg/server"
)

// review is a resource that can only be created, and is answered at once: what kubectl auth asks.
type review struct {
	singular string
	object   func() runtime.Object
	answer   func(ctx context.Context, who user.Info, obj runtime.Object) error
}

var (
	_ registryrest.Creater              = review{}
	_ registryrest.Scoper               = review{}
	_ registryrest.SingularNameProvider = review{}
)

// New implements rest.Storage.
func (r review) New() runtime.Object { return r.object() }

// Destroy implements rest.Storage.
func (review) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (review) NamespaceScoped() bool { return false }

// GetSingularName implements rest.SingularNameProvider.
func (r review) GetSingularName() string { return r.singular }

// Create implements rest.Creater.
func (r review) Create(ctx context.Context, obj runtime.Object, _ registryrest.ValidateObjectFunc,
	_ *metav1.CreateOptions) (runtime.Object, error) {
	who, ok := request.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%s without a user", r.singular))
	}
	return obj, r.answer(ctx, who, obj)
}

func selfReviews() []string {
	return []string{"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}
}

func reviewAPIGroups() []string {
	return []string{authenticationv1.GroupName, authorizationv1.GroupName}
}

func reviewGroups(scheme *runtime.Scheme, codecs serializer.CodecFactory) []*genericserver.APIGroupInfo {
	group := func(version schema.GroupVersion, resources map[string]registryrest.Storage) *genericserver.APIGroupInfo {
		info := genericserver.NewDefaultAPIGroupInfo(version.Group, scheme, runtime.NewParameterCodec(scheme), codecs)
		info.VersionedResourcesStorageMap[version.Version] = resources
		return &info
	}
	return []*genericserver.APIGroupInfo{
		group(authenticationv1.SchemeGroupVersion, map[string]registryrest.Storage{
			"selfsubjectreviews": whoAmI(),
		}),
		group(authorizationv1.SchemeGroupVersion, map[string]registryrest.Storage{
			"selfsubjectaccessreviews": mayI(), "selfsubjectrulesreviews": whatMayI(),
		}),
	}
}

func whoAmI() review {
	return review{
		singular: "selfsubjectreview",
		object:   func() runtime.Object { return &authenticationv1.SelfSubjectReview{} },
		answer: func(_ context.Context, who user.Info, obj runtime.Object) error {
			info := &obj.(*authenticationv1.SelfSubjectReview).Status.UserInfo
			info.Username, info.UID, info.Groups = who.GetName(), who.GetUID(), who.GetGroups()
			return nil
		},
	}
}

func mayI() review {
	return review{
		singular: "selfsubjectaccessreview",
		object:   func() runtime.Object { return &authorizationv1.SelfSubjectAccessReview{} },
		answer: func(ctx context.Context, who user.Info, obj runtime.Object) error {
			review := obj.(*authorizationv1.SelfSubjectAccessReview)
			asked := authorizer.AttributesRecord{User: who}
			switch resource, path := review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes; {
			case resource != nil:
				asked.ResourceRequest = true
				asked.Verb, asked.Name, asked.Namespace = resource.Verb, resource.Name, resource.Namespace
				asked.APIGroup, asked.APIVersion = resource.Group, resource.Version
				asked.Resource, asked.Subresource = resource.Resource, resource.Subresource
			case path != nil:
				asked.Verb, asked.Path = path.Verb, path.Path
			default:
				return apierrors.NewBadRequest("spec: must have resourceAttributes or nonResourceAttributes")
			}
			decision, reason, err := authorize(ctx, asked)
			review.Status.Allowed = decision == authorizer.DecisionAllow
			review.Status.Denied = decision == authorizer.DecisionDeny
			review.Status.Reason = reason
			return err
		},
	}
}

func whatMayI() review {
	return review{
		singular: "selfsubjectrulesreview",
		object:   func() runtime.Object { return &authorizationv1.SelfSubjectRulesReview{} },
		answer: func(_ context.Context, who user.Info, obj runtime.Object) error {
			status := &obj.(*authorizationv1.SelfSubjectRulesReview).Status
			status.ResourceRules, status.NonResourceRules = rights(who)
			return nil
		},
	}
}
