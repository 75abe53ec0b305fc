package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/grpclog"
	"k8s.io/klog/v2"

	"pentad.dev/pentad/agents"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
	relay "pentad.dev/pentad/xds-relay"
)

// runner is a process that New has prepared.
type runner interface{ Run(context.Context) error }

func newServerCommand() *cobra.Command {
	cmd := processCommand("server", "Run a federation server: a voter or a replica of the intent, its API, and the feeds",
		func(config server.Config, log *slog.Logger) (*server.Server, error) { return server.New(config, log) })
	cmd.Long += `

A server that was removed ends with 0, one whose disk failed or hung with 3: it may be started again, and refuses to when
its folder is damaged. See docs/operations.md.`
	return cmd
}

func newAgentCommand() *cobra.Command {
	return processCommand("agent", "Run a cluster's agent: reads its registries and publishes what they hold",
		func(config agents.Config, log *slog.Logger) (*agents.Process, error) { return agents.New(config, log) })
}

func newRelayCommand() *cobra.Command {
	return processCommand("relay", "Run a relay: renders the catalog for the data planes near it and serves xDS",
		func(config relay.Config, log *slog.Logger) (*relay.Relay, error) { return relay.New(config, log) })
}

// validated is a pointer to a configuration.
type validated[C any] interface {
	*C
	process.Validator
}

// processCommand is a command that runs one process from its configuration file until it is stopped.
func processCommand[C any, P validated[C], R runner](name, short string, build func(C, *slog.Logger) (R, error)) *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   name + " --config FILE",
		Short: short,
		Long: short + `.

The configuration is a YAML or JSON file; "pentad dev" writes one for each of its processes, to be looked at. Listeners
may be passed by file descriptor as in sd_listen_fds(3). The process logs to standard error and stops on SIGTERM or
Ctrl-C. Exit status: 0 stopped, 1 failed, 2 a wrong flag, file or folder (nothing was started or changed).`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level)
			if err != nil {
				return err
			}
			klog.SetSlogLogger(log) // the API library logs for the whole process
			connectionsAlso(log)
			if path == "" {
				return process.Usagef("--config must name a file (see %s --help)", cmd.CommandPath())
			}
			var config C
			if err := process.LoadConfig(path, P(&config)); err != nil {
				return err
			}
			p, err := build(config, log)
			if err != nil {
				return err
			}
			return p.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "the configuration `file`")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// connectionsAlso lets gRPC log its connections at level debug alone: with a region dead it would be thirty lines a
// second, and who cannot be reached is said by what wanted to.
func connectionsAlso(log *slog.Logger) {
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, os.Stderr))
	}
}

func newLogger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, process.Usagef("--log-level: %q is none of debug, info, warn, error", level)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
