package client

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"pentad.dev/pentad/crds/v1alpha1"
)

const (
	// dialPatience is how long a connection may take before the next server is tried.
	dialPatience = 2 * time.Second
	// idleFor is how long an unused connection is kept.
	idleFor = 90 * time.Second
	// pingAfter a silence the server is asked whether it is still there, and pingPatience is how long it may take: a
	// watch on a server that vanished ends.
	pingAfter, pingPatience = 10 * time.Second, 5 * time.Second
)

// Client calls the API. It is safe for concurrent use.
type Client struct {
	endpoints []endpoint
	// preferred is the index of the endpoint that answered last.
	preferred  atomic.Int64
	parameters runtime.ParameterCodec
	timeout    time.Duration
	// readAttempt and writeAttempt are how long one server may take.
	readAttempt, writeAttempt time.Duration
	// stall is how long nothing may come of an answer that has begun.
	stall time.Duration
}

type endpoint struct {
	url  string
	rest *rest.RESTClient
	http *http.Client
}

// New makes a Client. It connects to nothing yet.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	var configs []*rest.Config
	for _, name := range cfg.endpoints() {
		address, err := endpointURL(name)
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		config := &rest.Config{}
		if cfg.REST != nil {
			config = rest.CopyConfig(cfg.REST)
		}
		config.Host = address
		if cfg.UserAgent != "" {
			config.UserAgent = cfg.UserAgent
		}
		configs = append(configs, config)
	}
	var shared *http.Client
	if cfg.TLS != nil {
		shared = &http.Client{Transport: transport(cfg)}
	}
	return newClient(configs, shared, cfg.Timeout)
}

func transport(cfg Config) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     cfg.TLS.Clone(),
		DialContext:         (&net.Dialer{Timeout: dialPatience}).DialContext,
		TLSHandshakeTimeout: dialPatience,
		IdleConnTimeout:     idleFor,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingPatience},
	}
}

// newClient makes a Client of one configuration for each endpoint; shared is the HTTP client of all, if they share one.
func newClient(configs []*rest.Config, shared *http.Client, timeout time.Duration) (*Client, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	c := &Client{
		parameters: runtime.NewParameterCodec(scheme), timeout: timeout,
		readAttempt: readAttempt, writeAttempt: writeAttempt, stall: stallsAfter,
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	version := v1alpha1.GroupVersion
	for _, config := range configs {
		config.APIPath, config.GroupVersion = "/apis", &version
		config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
		config.QPS = -1 // the servers have limits of their own
		if config.UserAgent == "" {
			config.UserAgent = rest.DefaultKubernetesUserAgent()
		}
		httpClient := shared
		if httpClient == nil {
			config.Dial = (&net.Dialer{Timeout: dialPatience}).DialContext
			var err error
			if httpClient, err = rest.HTTPClientFor(config); err != nil {
				return nil, fmt.Errorf("client: endpoint %s: %w", config.Host, err)
			}
		}
		restClient, err := rest.RESTClientForConfigAndClient(config, httpClient)
		if err != nil {
			return nil, fmt.Errorf("client: endpoint %s: %w", config.Host, err)
		}
		c.endpoints = append(c.endpoints, endpoint{url: config.Host, rest: restClient, http: httpClient})
	}
	return c, nil
}

// Close closes connections that are not in use. The Client stays usable.
func (c *Client) Close() {
	for _, e := range c.endpoints {
		e.http.CloseIdleConnections()
	}
}

// Centers are the centers of the federation.
func (c *Client) Centers() Resource[*v1alpha1.Center, *v1alpha1.CenterList] {
	return Resource[*v1alpha1.Center, *v1alpha1.CenterList]{
		client: c, kind: v1alpha1.KindCenter, plural: "centers",
		newObject: func() *v1alpha1.Center { return &v1alpha1.Center{} },
		newList:   func() *v1alpha1.CenterList { return &v1alpha1.CenterList{} },
	}
}

// Clusters are the clusters of the federation.
func (c *Client) Clusters() Resource[*v1alpha1.Cluster, *v1alpha1.ClusterList] {
	return Resource[*v1alpha1.Cluster, *v1alpha1.ClusterList]{
		client: c, kind: v1alpha1.KindCluster, plural: "clusters",
		newObject: func() *v1alpha1.Cluster { return &v1alpha1.Cluster{} },
		newList:   func() *v1alpha1.ClusterList { return &v1alpha1.ClusterList{} },
	}
}

// ServicePolicies are the policies of services.
func (c *Client) ServicePolicies() Resource[*v1alpha1.ServicePolicy, *v1alpha1.ServicePolicyList] {
	return Resource[*v1alpha1.ServicePolicy, *v1alpha1.ServicePolicyList]{
		client: c, kind: v1alpha1.KindServicePolicy, plural: "servicepolicies",
		newObject: func() *v1alpha1.ServicePolicy { return &v1alpha1.ServicePolicy{} },
		newList:   func() *v1alpha1.ServicePolicyList { return &v1alpha1.ServicePolicyList{} },
	}
}

// Estates is the one Estate of the federation, named "estate".
func (c *Client) Estates() Resource[*v1alpha1.Estate, *v1alpha1.EstateList] {
	return Resource[*v1alpha1.Estate, *v1alpha1.EstateList]{
		client: c, kind: v1alpha1.KindEstate, plural: "estates",
		newObject: func() *v1alpha1.Estate { return &v1alpha1.Estate{} },
		newList:   func() *v1alpha1.EstateList { return &v1alpha1.EstateList{} },
	}
}
