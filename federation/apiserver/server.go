package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/group"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/rest"
	"k8s.io/kube-openapi/pkg/common"

	"pentad.dev/pentad/crds/v1alpha1"
	generatedopenapi "pentad.dev/pentad/crds/v1alpha1/openapi"
	"pentad.dev/pentad/federation/apiserver/registry"
	"pentad.dev/pentad/federation/intent"
)

const (
	// pagesPrefix begins the paths of Config.Pages.
	pagesPrefix = "/pentad/"
	// maxBody bounds a request: an object as stored, and what a patch says around it.
	maxBody = intent.MaxValue + intent.MaxValue/2
	// watchDrain is how long a stop waits for watches to end; their clients go on at another server.
	watchDrain = 2 * time.Second
	// stopPatience bounds how long a stop waits for connections.
	stopPatience = 5 * time.Second
)

// Server is one API server.
type Server struct {
	generic     *genericserver.GenericAPIServer
	credentials *credentials
}

// New puts a server together. It serves nothing yet; the listener stays the caller's if New fails.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	credentials, err := newCredentials(cfg.Certificates, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, fmt.Errorf("apiserver: scheme: %w", err)
	}
	codecs := serializer.NewCodecFactory(scheme)
	generic, err := genericConfig(cfg, scheme, codecs, credentials).Complete(nil).
		New(cfg.Name, genericserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	generic.ShutdownTimeout = stopPatience
	kinds, err := registry.New(registry.Config{
		Scheme: scheme, Codecs: codecs, Backend: cfg.Backend, Permits: cfg.Permits, Planted: cfg.planted,
	})
	if err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	parameters := runtime.NewParameterCodec(scheme)
	groups := reviewGroups(scheme, codecs)
	pentad := genericserver.NewDefaultAPIGroupInfo(v1alpha1.GroupName, scheme, parameters, codecs)
	pentad.VersionedResourcesStorageMap[v1alpha1.GroupVersion.Version] = kinds
	if err := generic.InstallAPIGroups(append(groups, &pentad)...); err != nil {
		return nil, fmt.Errorf("apiserver: %w", err)
	}
	if cfg.Pages != nil {
		generic.Handler.NonGoRestfulMux.HandlePrefix(pagesPrefix, cfg.Pages)
	}
	return &Server{generic: generic, credentials: credentials}, nil
}

// Run serves until ctx ends, lets requests end, and returns when everything has stopped. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	following, stop := context.WithCancel(ctx)
	var followed sync.WaitGroup
	followed.Go(func() { s.credentials.follow(following) })
	defer followed.Wait()
	defer stop()
	return s.generic.PrepareRun().RunWithContext(ctx)
}

func genericConfig(cfg Config, scheme *runtime.Scheme, codecs serializer.CodecFactory,
	credentials *credentials) *genericserver.Config {
	c := genericserver.NewConfig(codecs)
	c.EffectiveVersion = effectiveVersion()
	c.SecureServing = &genericserver.SecureServingInfo{
		Listener: cfg.Listener, Cert: credentials, ClientCA: credentials,
	}
	c.ExternalAddress = cfg.Listener.Addr().String()
	c.Authentication.Authenticator = group.NewAuthenticatedGroupAdder(newBelieving(
		requestx509.NewDynamic(credentials.VerifyOptions, requestx509.CommonNameUserConversion), credentials.authorities))
	c.Authorization.Authorizer = authorizer.AuthorizerFunc(authorize)
	// The library demands a way to call itself. Without a token it gives nobody a right, and nothing of ours uses it.
	c.LoopbackClientConfig = &rest.Config{Host: "https://" + c.ExternalAddress}

	definitions := common.GetOpenAPIDefinitions(generatedopenapi.GetOpenAPIDefinitions)
	namer := openapi.NewDefinitionNamer(scheme)
	c.OpenAPIConfig = genericserver.DefaultOpenAPIConfig(definitions, namer)
	c.OpenAPIV3Config = genericserver.DefaultOpenAPIV3Config(definitions, namer)
	for _, info := range []*string{&c.OpenAPIConfig.Info.Title, &c.OpenAPIV3Config.Info.Title} {
		*info = "Pentad"
	}
	for _, info := range []*string{&c.OpenAPIConfig.Info.Version, &c.OpenAPIV3Config.Info.Version} {
		*info = cfg.Version
	}

	watches := c.LongRunningFunc
	c.LongRunningFunc = func(r *http.Request, about *request.RequestInfo) bool {
		return watches(r, about) || r.Method == http.MethodGet && slices.Contains(cfg.Streams, r.URL.Path)
	}
	c.FlowControl = nil // plain limits of requests in flight
	c.StorageObjectCountTracker = nil
	c.AdmissionControl = nil
	c.EnableProfiling = false
	c.MaxRequestBodyBytes = maxBody
	c.JSONPatchMaxCopyBytes = maxBody
	c.ShutdownWatchTerminationGracePeriod = watchDrain
	c.BuildHandlerChainFunc = func(api http.Handler, c *genericserver.Config) http.Handler {
		inner := answerVersion(cfg.Version, refuseOwned(codecs, api))
		return genericserver.DefaultBuildHandlerChain(inner, c)
	}
	if cfg.planted.OwnedFields {
		c.BuildHandlerChainFunc = genericserver.DefaultBuildHandlerChain
	}
	if cfg.Ready != nil {
		c.AddReadyzChecks(healthz.NamedCheck("federation", func(*http.Request) error { return cfg.Ready() }))
	}
	if cfg.Audit != nil {
		c.AuditBackend, c.AuditPolicyRuleEvaluator = auditing(cfg.Audit)
	}
	return c
}
