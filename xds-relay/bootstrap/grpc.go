package bootstrap

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// serverListenerTemplate is the name of the Listener that a gRPC server asks for; relays render it from the name.
	serverListenerTemplate = "grpc/server?xds.resource.listening_address=%s"
	// provider is the name by which security settings in resources refer to the files of Config.Certificates.
	provider = "default"
	// refreshInterval is how often gRPC looks whether the files changed; its own default is 10 minutes.
	refreshInterval = "60s"
)

// GRPC returns the bootstrap JSON of a gRPC client or server, the same bytes for the same Config.
func GRPC(c Config) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	uri, _ := serverURI(field.NewPath("relays"), c.Relays, c.SingleRelay)
	file := grpcFile{
		XDSServers: []grpcServer{{
			ServerURI:      uri,
			ChannelCreds:   []grpcPlugin{{Type: "insecure"}},
			ServerFeatures: []string{"xds_v3", "ignore_resource_deletion"},
		}},
		Node: grpcNode{ID: c.Node, Cluster: c.Workload, Locality: grpcLocality{Region: c.Region, Zone: c.Center}},

		ServerListenerResourceNameTemplate: serverListenerTemplate,
	}
	if t := c.Certificates; t != nil {
		files := &grpcFiles{Certificate: t.Certificate, Key: t.Key, CA: t.CA, RefreshInterval: refreshInterval}
		file.XDSServers[0].ChannelCreds = []grpcPlugin{{Type: "tls", Config: files}}
		file.CertificateProviders = map[string]grpcProvider{provider: {PluginName: "file_watcher", Config: files}}
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return append(b, '\n'), nil
}

// The file, as gRFC A27, A36 and A65 define it.
type grpcFile struct {
	XDSServers           []grpcServer            `json:"xds_servers"`
	Node                 grpcNode                `json:"node"`
	CertificateProviders map[string]grpcProvider `json:"certificate_providers,omitempty"`

	ServerListenerResourceNameTemplate string `json:"server_listener_resource_name_template"`
}

type grpcServer struct {
	ServerURI      string       `json:"server_uri"`
	ChannelCreds   []grpcPlugin `json:"channel_creds"`
	ServerFeatures []string     `json:"server_features"`
}

type grpcPlugin struct {
	Type   string     `json:"type"`
	Config *grpcFiles `json:"config,omitempty"`
}

type grpcProvider struct {
	PluginName string     `json:"plugin_name"`
	Config     *grpcFiles `json:"config"`
}

type grpcFiles struct {
	Certificate     string `json:"certificate_file"`
	Key             string `json:"private_key_file"`
	CA              string `json:"ca_certificate_file"`
	RefreshInterval string `json:"refresh_interval"`
}

type grpcNode struct {
	ID       string       `json:"id"`
	Cluster  string       `json:"cluster,omitempty"`
	Locality grpcLocality `json:"locality"`
}

type grpcLocality struct {
	Region string `json:"region"`
	Zone   string `json:"zone"`
}
