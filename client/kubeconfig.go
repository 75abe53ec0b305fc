package client

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// FromKubeconfig makes a Client from a kubeconfig file. It prefers the server of the current context, and knows those
// of every other context with the same user and the same certificate authority: the other servers of the federation.
func FromKubeconfig(path string) (*Client, error) {
	file, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("client: kubeconfig %s: %w", path, err)
	}
	if err := clientcmd.ResolveLocalPaths(file); err != nil {
		return nil, fmt.Errorf("client: kubeconfig %s: %w", path, err)
	}
	var configs []*rest.Config
	for _, name := range contexts(file) {
		config, err := clientcmd.NewNonInteractiveClientConfig(*file, name, nil, nil).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("client: kubeconfig %s: context %q: %w", path, name, err)
		}
		if config.Host, err = endpointURL(config.Host); err != nil {
			return nil, fmt.Errorf("client: kubeconfig %s: context %q: server: %w", path, name, err)
		}
		if err := inForce(config, time.Now()); err != nil {
			return nil, fmt.Errorf("client: kubeconfig %s: context %q: %w", path, name, err)
		}
		configs = append(configs, config)
	}
	return newClient(configs, nil, 0)
}

// inForce refuses a client certificate that has ended, or has not begun: servers only say that somebody is unknown.
func inForce(config *rest.Config, now time.Time) error {
	certificate, err := rest.TLSConfigFor(config)
	if err != nil || certificate == nil || certificate.GetClientCertificate == nil {
		return err
	}
	shown, err := certificate.GetClientCertificate(nil)
	if err != nil || shown == nil || len(shown.Certificate) == 0 {
		return err
	}
	leaf, err := x509.ParseCertificate(shown.Certificate[0])
	if err == nil && (now.Before(leaf.NotBefore) || now.After(leaf.NotAfter)) {
		err = fmt.Errorf("client-certificate: that of %q is good from %s to %s, and this machine's clock says %s: renew it, or set the clock",
			leaf.Subject.CommonName, leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return err
}

// contexts are the current one and its siblings, one for each server.
func contexts(file *api.Config) []string {
	names := []string{file.CurrentContext}
	current := file.Contexts[file.CurrentContext]
	if current == nil || file.Clusters[current.Cluster] == nil {
		return names // which clientcmd explains best
	}
	home := file.Clusters[current.Cluster]
	seen := map[string]bool{home.Server: true}
	for _, name := range slices.Sorted(maps.Keys(file.Contexts)) {
		other := file.Contexts[name]
		cluster := file.Clusters[other.Cluster]
		if cluster == nil || other.AuthInfo != current.AuthInfo || seen[cluster.Server] || !sameAuthority(cluster, home) {
			continue
		}
		seen[cluster.Server] = true
		names = append(names, name)
	}
	return names
}

func sameAuthority(a, b *api.Cluster) bool {
	return a.CertificateAuthority == b.CertificateAuthority &&
		bytes.Equal(a.CertificateAuthorityData, b.CertificateAuthorityData) &&
		(a.CertificateAuthority != "" || len(a.CertificateAuthorityData) > 0)
}
