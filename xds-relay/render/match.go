package render

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"pentad.dev/pentad/unitization/route"
)

// failedPrecondition is the gRPC status of what is refused: not UNAVAILABLE, which clients repeat by themselves.
const failedPrecondition = 9

// refusal is the fault filter's configuration, on a route, that refuses every call (rule 18).
func refusal() (*anypb.Any, error) {
	return pack(&faultv3.HTTPFault{Abort: &faultv3.FaultAbort{
		ErrorType:  &faultv3.FaultAbort_GrpcStatus{GrpcStatus: failedPrecondition},
		Percentage: &typev3.FractionalPercent{Numerator: 100, Denominator: typev3.FractionalPercent_HUNDRED},
	}})
}

// readPaths are the matches of the declared read methods, in an order of their own. What guards don't take for a
// declaration is none here, and so a write.
func readPaths(reads []string) []*routev3.RouteMatch {
	var out []*routev3.RouteMatch
	for _, read := range slices.Compact(slices.Sorted(slices.Values(reads))) {
		if _, err := route.CompileMethods([]string{read}); err != nil {
			continue
		}
		if service, all := strings.CutSuffix(read, "*"); all {
			out = append(out, &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: service}})
		} else {
			out = append(out, &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: read}})
		}
	}
	return out
}

// exactly matches a header with one value.
func exactly(header, value string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: header, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
		StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}},
	}}
}

// within matches a header with a number from start up to, and not with, end. gRPC joins a header that comes twice,
// which is then no number; Envoy takes the first.
func within(header string, start, end int) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: header, HeaderMatchSpecifier: &routev3.HeaderMatcher_RangeMatch{
		RangeMatch: &typev3.Int64Range{Start: int64(start), End: int64(end)},
	}}
}
