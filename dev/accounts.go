package dev

import (
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/process"
)

// Sample is what the workload process of a center was told to host.
func (s *Site) Sample(center string) (*sample.ServerConfig, error) {
	config := &sample.ServerConfig{}
	return config, process.LoadConfig(s.path("config", SampleName(center)+".yaml"), config)
}
