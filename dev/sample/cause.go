package sample

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/record"
)

// phrases of grpc-go's own errors of code Unavailable, which has no finer classes. The first class with a phrase in the
// message wins.
var unavailable = []struct {
	cause   string
	phrases []string
}{
	{
		record.CauseBroken,
		[]string{"error reading from server", "transport is closing", "connection reset", "closed the connection",
			"the connection is draining", "broken pipe", "connection closed"},
	},
	{
		record.CauseUnreachable,
		[]string{"last connection error", "connection error", "Error while dialing", "connection refused"},
	},
	{
		record.CauseNoEndpoints,
		[]string{"no children to pick from", "no targets to pick from", "no SubConn", "zero addresses",
			"no addresses", "no endpoints", "does not exist", "not found", "resource error", "priority", "xds:", "no valid"},
	},
}

// cause classes a failed request by what the client saw.
func cause(err error, sent bool) string {
	st := status.Convert(err)
	switch st.Code() {
	case codes.DeadlineExceeded:
		return record.CauseDeadline
	case codes.Unavailable:
		for _, class := range unavailable {
			for _, phrase := range class.phrases {
				if strings.Contains(st.Message(), phrase) {
					return class.cause
				}
			}
		}
		return record.CauseOther
	default:
		if sent {
			return record.CauseAnswer
		}
		return record.CauseOther
	}
}
