package apiserver

import (
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strconv"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/component-base/compatibility"
)

const (
	// libraryMinor is the Kubernetes minor version whose API machinery this is.
	libraryMinor = 37
	// oldestMinor is the oldest kubectl that the tests and the documentation speak of.
	oldestMinor = 30
)

func effectiveVersion() compatibility.EffectiveVersion {
	return compatibility.NewEffectiveVersionFromString(fmt.Sprintf("1.%d", libraryMinor), "", "")
}

var kubectlMinor = regexp.MustCompile(`^kubectl[^/]*/v1\.(\d+)\.`)

// answerVersion answers /version. kubectl compares that with its own version by the rules of Kubernetes releases, of
// which this is none: the API that it meets is the same for each. So a kubectl of a known age hears its own minor
// version.
func answerVersion(own string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" || r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		minor := libraryMinor
		if match := kubectlMinor.FindStringSubmatch(r.UserAgent()); match != nil {
			if asked, err := strconv.Atoi(match[1]); err == nil && asked >= oldestMinor && asked < libraryMinor {
				minor = asked
			}
		}
		responsewriters.WriteRawJSON(http.StatusOK, version.Info{
			Major: "1", Minor: strconv.Itoa(minor), GitVersion: fmt.Sprintf("v1.%d.0+pentad.%s", minor, own),
			GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		}, w)
	})
}
