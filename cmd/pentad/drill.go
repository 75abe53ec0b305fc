package main

import "github.com/spf13/cobra"

func newDrillCommand() *cobra.Command { return &cobra.Command{Use: "drill"} }
