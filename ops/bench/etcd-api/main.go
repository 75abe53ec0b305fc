// Command etcd-api serves Pentad's Center from etcd, by the library that Pentad's API is made of and with that library's
// own storage: what the API of Kubernetes does, and nothing else. The benchmarks compare Pentad's API with it.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/group"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	clientrest "k8s.io/client-go/rest"
	"k8s.io/component-base/compatibility"
	"k8s.io/kube-openapi/pkg/common"

	"pentad.dev/pentad/crds/v1alpha1"
	generatedopenapi "pentad.dev/pentad/crds/v1alpha1/openapi"
)

func main() {
	listen := flag.String("listen", "", "host:port")
	etcd := flag.String("etcd", "", "etcd's client URLs, by comma")
	cert := flag.String("cert", "", "PEM file, towards callers and etcd")
	key := flag.String("key", "", "PEM file")
	ca := flag.String("ca", "", "PEM file of everyone's authority")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *etcd, *cert, *key, *ca); err != nil {
		fmt.Fprintln(os.Stderr, "etcd-api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, etcd, cert, key, ca string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	scheme.AddTypeDefaultingFunc(&v1alpha1.Center{}, func(o any) { v1alpha1.Default(o.(v1alpha1.Object)) })
	v1 := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, v1)
	scheme.AddUnversionedTypes(v1, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{},
		&metav1.APIResourceList{})
	codecs := serializer.NewCodecFactory(scheme)
	c := genericserver.NewConfig(codecs)
	c.EffectiveVersion = compatibility.NewEffectiveVersionFromString("1.37", "", "")
	serving, err := dynamiccertificates.NewDynamicServingContentFromFiles("serving", cert, key)
	if err != nil {
		return err
	}
	clients, err := dynamiccertificates.NewDynamicCAContentFromFile("clients", ca)
	if err != nil {
		return err
	}
	c.SecureServing = &genericserver.SecureServingInfo{Listener: listener, Cert: serving, ClientCA: clients}
	c.ExternalAddress = listener.Addr().String()
	c.Authentication.Authenticator = group.NewAuthenticatedGroupAdder(
		requestx509.NewDynamic(clients.VerifyOptions, requestx509.CommonNameUserConversion))
	c.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	c.LoopbackClientConfig = &clientrest.Config{Host: "https://" + c.ExternalAddress}
	definitions := common.GetOpenAPIDefinitions(generatedopenapi.GetOpenAPIDefinitions)
	namer := openapi.NewDefinitionNamer(scheme)
	c.OpenAPIConfig = genericserver.DefaultOpenAPIConfig(definitions, namer)
	c.OpenAPIV3Config = genericserver.DefaultOpenAPIV3Config(definitions, namer)
	c.FlowControl = nil
	c.AdmissionControl = nil

	backend := storagebackend.NewDefaultConfig("/bench", codecs.LegacyCodec(v1alpha1.GroupVersion))
	backend.Transport.ServerList = strings.Split(etcd, ",")
	backend.Transport.CertFile, backend.Transport.KeyFile, backend.Transport.TrustedCAFile = cert, key, ca
	stored := options.NewEtcdOptions(backend)
	stored.SkipHealthEndpoints = true
	if err := stored.ApplyTo(c); err != nil {
		return err
	}
	server, err := c.Complete(nil).New("etcd-api", genericserver.NewEmptyDelegate())
	if err != nil {
		return err
	}
	centers, err := newStore(scheme, c.RESTOptionsGetter)
	if err != nil {
		return err
	}
	pentad := genericserver.NewDefaultAPIGroupInfo(v1alpha1.GroupName, scheme, runtime.NewParameterCodec(scheme), codecs)
	pentad.VersionedResourcesStorageMap[v1alpha1.GroupVersion.Version] = map[string]rest.Storage{"centers": centers}
	if err := server.InstallAPIGroup(&pentad); err != nil {
		return err
	}
	return server.PrepareRun().RunWithContext(ctx)
}

func newStore(scheme *runtime.Scheme, getter generic.RESTOptionsGetter) (*genericregistry.Store, error) {
	s := strategy{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator}
	centers := schema.GroupResource{Group: v1alpha1.GroupName, Resource: "centers"}
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &v1alpha1.Center{} },
		NewListFunc:               func() runtime.Object { return &v1alpha1.CenterList{} },
		DefaultQualifiedResource:  centers,
		SingularQualifiedResource: schema.GroupResource{Group: v1alpha1.GroupName, Resource: "center"},
		CreateStrategy:            s, UpdateStrategy: s, DeleteStrategy: s,
		TableConvertor: rest.NewDefaultTableConvertor(centers),
	}
	return store, store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: getter})
}

// strategy is the least there can be.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

func (strategy) NamespaceScoped() bool                                            { return false }
func (strategy) AllowCreateOnUpdate(context.Context) bool                         { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool                    { return true }
func (strategy) Canonicalize(runtime.Object)                                      {}
func (strategy) PrepareForCreate(context.Context, runtime.Object)                 {}
func (strategy) PrepareForUpdate(context.Context, runtime.Object, runtime.Object) {}
func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string        { return nil }
func (strategy) Validate(context.Context, runtime.Object) field.ErrorList         { return nil }
func (strategy) ValidateUpdate(context.Context, runtime.Object, runtime.Object) field.ErrorList {
	return nil
}
func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}
