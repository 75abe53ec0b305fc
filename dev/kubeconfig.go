package dev

import (
	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/federation/identity"
)

// The part of kubectl's configuration that is written here; see
// https://kubernetes.io/docs/reference/config-api/kubeconfig.v1.
type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server               string `json:"server"`
		CertificateAuthority string `json:"certificate-authority"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		ClientCertificate string `json:"client-certificate"`
		ClientKey         string `json:"client-key"`
	} `json:"user"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// api is one server's API.
type api struct{ center, address string }

// writeKubeconfig writes one context for each server, named after its center; the first is the current one.
func writeKubeconfig(path string, servers []api, operator identity.Files) error {
	config := kubeconfig{APIVersion: "v1", Kind: "Config"}
	user := namedUser{Name: operatorName}
	user.User.ClientCertificate, user.User.ClientKey = operator.Cert, operator.Key
	config.Users = []namedUser{user}
	for _, s := range servers {
		cluster := namedCluster{Name: s.center}
		cluster.Cluster.Server, cluster.Cluster.CertificateAuthority = "https://"+s.address, operator.CA
		context := namedContext{Name: s.center}
		context.Context.Cluster, context.Context.User = s.center, operatorName
		config.Clusters = append(config.Clusters, cluster)
		config.Contexts = append(config.Contexts, context)
	}
	config.CurrentContext = servers[0].center
	data, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return replaceFile(path, data, 0o600)
}
