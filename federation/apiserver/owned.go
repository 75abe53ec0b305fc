package apiserver

import (
	"bytes"
	"io"
	"mime"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/apiserver/registry"
)

// refuseOwned refuses a POST whose object brings fields that only Pentad sets. The library's handler wipes
// metadata.uid before the registry sees the object, so the body is looked at here. A body that cannot be read so is
// left to the handler, which says what is wrong with it.
func refuseOwned(codecs serializer.CodecFactory, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := request.RequestInfoFrom(r.Context())
		if !ok || info.APIGroup != v1alpha1.GroupName || info.Verb != "create" || info.Subresource != "" {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		r.Body = replayed{Reader: io.MultiReader(bytes.NewReader(body), r.Body), Closer: r.Body}
		object := metav1.PartialObjectMetadata{}
		if err == nil && len(body) <= maxBody && readsAsYAML(r) && yaml.Unmarshal(body, &object) == nil {
			if errs := registry.ValidateOwnedAtCreate(&object); len(errs) > 0 {
				kind := v1alpha1.GroupVersion.WithKind(object.Kind).GroupKind()
				responsewriters.ErrorNegotiated(apierrors.NewInvalid(kind, object.Name, errs), codecs,
					v1alpha1.GroupVersion, w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// replayed is a body of which the beginning was read already.
type replayed struct {
	io.Reader
	io.Closer
}

// readsAsYAML says whether the body is JSON, which is YAML, or YAML. Our kinds have no other form.
func readsAsYAML(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err != nil || mediaType == runtime.ContentTypeJSON || mediaType == runtime.ContentTypeYAML
}
