package server

import (
	"flag"
	"os"
	"testing"
)

// TestMain has one more test run at a time than two processors would have: most of what they do is to wait.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "3")
	}
	os.Exit(m.Run())
}
