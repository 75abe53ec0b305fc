package main

import (
	"os"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/process"
	"pentad.dev/pentad/xds-relay/bootstrap"
)

func newBootstrapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Write the bootstrap of a data plane",
		Args:  exactArgs(),
	}
	cmd.AddCommand(newBootstrapGRPCCommand())
	return cmd
}

func newBootstrapGRPCCommand() *cobra.Command {
	var config bootstrap.Config
	var certificates bootstrap.Certificates
	cmd := &cobra.Command{
		Use:   "grpc --node ID --region REGION --center CENTER --relay HOST:PORT --relay HOST:PORT",
		Short: "Write the bootstrap of a proxyless gRPC client or server (GRPC_XDS_BOOTSTRAP)",
		Long: `Write, to standard output, the bootstrap of a proxyless gRPC client or server. Save it to a file and name the file in
the environment variable GRPC_XDS_BOOTSTRAP; clients then dial xds:///SERVICE.

All relays of the center go into one URI, so that a client whose relay dies moves to the next one and goes on getting
updates. Relays given as addresses make an ipv4: or ipv6: URI, which C-core and grpc-js know; a grpc-go program registers
it with the package xds-relay/bootstrap/ipv4. A host name that resolves to all relays needs nothing.`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if certificates != (bootstrap.Certificates{}) {
				config.Certificates = &certificates
			}
			text, err := bootstrap.GRPC(config)
			if err != nil {
				return &process.UsageError{Err: err}
			}
			_, err = os.Stdout.Write(text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.Node, "node", "", "the data plane's `id`, unlike any other's")
	flags.StringVar(&config.Workload, "workload", "", "the `service` that it belongs to")
	flags.StringVar(&config.Region, "region", "", "its region")
	flags.StringVar(&config.Center, "center", "", "its center")
	flags.StringArrayVar(&config.Relays, "relay", nil, "a relay's `host:port`; once for each relay, nearest first")
	flags.BoolVar(&config.SingleRelay, "single-relay", false, "accept one relay: while it is down there are no updates")
	flags.StringVar(&certificates.Certificate, "cert", "", "the PEM `file` of its certificate")
	flags.StringVar(&certificates.Key, "key", "", "the PEM `file` of its key")
	flags.StringVar(&certificates.CA, "ca", "", "the PEM `file` of the authorities that it trusts")
	return cmd
}
