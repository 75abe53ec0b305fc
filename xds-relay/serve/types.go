package serve

// Type URLs of the resources that have rules of their own.
const (
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// kind is how responses of one resource type behave.
type kind struct {
	url string
	// label names the type in metrics; it is of a closed list.
	label string
	// whole: a SotW response carries everything that was asked for, and what it leaves out is deleted at the client.
	whole bool
	// wildcard: asking for no name in particular means everything.
	wildcard bool
	// urgent: a change goes out also behind one unanswered response. Endpoints may be removals, which never wait to
	// be merged with what comes next.
	urgent bool
	// gated: names clusters, so on wildcard streams it waits until the client has them.
	gated bool
	// owned: says who owns what, so a client that had newer content elsewhere must not be taken back (see catchup.go).
	owned bool
	// rank is the order in which types are sent when several have something to say.
	rank int
}

// kindOf returns how a type behaves; a type without rules of its own is answered by name, in part, ungated.
func kindOf(url string) kind {
	switch url {
	case SecretType:
		return kind{url: url, label: "SDS", rank: 0}
	case ClusterType:
		return kind{url: url, label: "CDS", whole: true, wildcard: true, rank: 1}
	case EndpointType:
		return kind{url: url, label: "EDS", urgent: true, rank: 2}
	case ListenerType:
		return kind{url: url, label: "LDS", whole: true, wildcard: true, gated: true, rank: 4}
	case RouteType:
		return kind{url: url, label: "RDS", gated: true, owned: true, rank: 5}
	default:
		return kind{url: url, label: "other", rank: 3}
	}
}
