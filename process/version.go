package process

import "runtime/debug"

// version is set by the linker for a release.
var version = ""

// unreleased is the version of a binary that is no release.
const unreleased = "0.0.0-dev"

// Version is this binary's version, a semantic version: the release's, or one that names the revision it was built from.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
				return unreleased + "." + setting.Value[:12]
			}
		}
	}
	return unreleased
}
