//go:build linux

package estate

import (
	"os"

	"sigs.k8s.io/yaml"
)

// WriteKubeconfig writes a kubeconfig with a context for each of these servers, and returns its path.
func (e *Estate) WriteKubeconfig(servers ...*Server) (string, error) {
	var clusters, contexts []any
	for _, s := range servers {
		clusters = append(clusters, map[string]any{"name": s.Name, "cluster": map[string]any{
			"server": "https://" + s.API(), "certificate-authority": e.operator.CA,
		}})
		contexts = append(contexts, map[string]any{"name": s.Name, "context": map[string]any{"cluster": s.Name, "user": "operator"}})
	}
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "clusters": clusters, "contexts": contexts, "current-context": servers[0].Name,
		"users": []any{map[string]any{"name": "operator", "user": map[string]any{
			"client-certificate": e.operator.Cert, "client-key": e.operator.Key,
		}}},
	})
	if err != nil {
		return "", err
	}
	path := e.path("kubeconfig")
	return path, os.WriteFile(path, data, 0o600)
}
