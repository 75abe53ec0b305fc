package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/process"
)

// apiFlags say how a command reaches the API.
type apiFlags struct {
	kubeconfig string
}

func (f *apiFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "",
		"the kubeconfig `file`; empty: $KUBECONFIG, else that of the estate in "+defaultData)
}

// client knows every server that the kubeconfig names.
func (f *apiFlags) client() (*client.Client, error) {
	path := f.kubeconfig
	if path == "" {
		path = os.Getenv("KUBECONFIG")
	}
	if path == "" {
		path = filepath.Join(defaultData, "kubeconfig")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, process.Usagef("kubeconfig: %w: name one with --kubeconfig", err)
	}
	c, err := client.FromKubeconfig(path)
	if err != nil {
		return nil, &process.UsageError{Err: err}
	}
	return c, nil
}
