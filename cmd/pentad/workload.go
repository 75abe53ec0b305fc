package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"pentad.dev/pentad/dev/sample"
)

func newSampleCommand() *cobra.Command {
	return processCommand("sample", "Run instances of the sample workload: real gRPC servers",
		func(config sample.ServerConfig, log *slog.Logger) (*sample.Server, error) {
			return sample.NewServer(config, log)
		})
}

func newLoadCommand() *cobra.Command {
	return processCommand("load", "Call the sample workload through proxyless gRPC and record every request",
		func(config sample.LoadConfig, log *slog.Logger) (*sample.Load, error) {
			return sample.NewLoad(config, log)
		})
}
