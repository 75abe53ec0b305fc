package model

import (
	"strings"

	"pentad.dev/pentad/federation/feed"
)

// Kinds of the records of a cluster's feeds.
const (
	// KindService is a service as one cluster exports it; the key is the service's name.
	KindService = "Service"
	// KindEndpointSlice is a part of a service's endpoints; the key is SliceKey(service, slice).
	KindEndpointSlice = "EndpointSlice"
	// KindSourceReport is what an agent says of one source, in the feed ReportsFeed(cluster); the key is the source's
	// name.
	KindSourceReport = "SourceReport"
	// KindStoreReport is what an agent says of the member of a store that it drives, in the feed ReportsFeed(cluster); the
	// key is the store's name.
	KindStoreReport = "StoreReport"
)

// Kinds of the records of the intent feed that are no declared objects.
const (
	// KindOwnership is the ownership map of a Unitization; the key is the Unitization's name.
	KindOwnership = "Ownership"
	// KindStoreOrder is what is wanted of a store; the key is the Store's name.
	KindStoreOrder = "StoreOrder"
	// KindLiveness is that a cluster has expired; the key is the Cluster's name.
	KindLiveness = "Liveness"
)

// ReportsSource is the last part of the id of the feed with a cluster's reports. No source may bear this name.
const ReportsSource = "reports"

// FeedID is the id of the feed of one source of a cluster.
func FeedID(cluster, source string) feed.ID { return feed.ID(cluster + "/" + source) }

// ReportsFeed is the id of the feed with what a cluster's agent says of its sources and of the stores' members that it
// drives.
func ReportsFeed(cluster string) feed.ID { return FeedID(cluster, ReportsSource) }

// SplitFeedID is the inverse of FeedID; ok is false for the intent feed and for what is no cluster's feed.
func SplitFeedID(id feed.ID) (cluster, source string, ok bool) { return cutKey(string(id)) }

// SliceKey is the key of the EndpointSlice record of one slice of a service.
func SliceKey(service, slice string) string { return service + "/" + slice }

// SplitSliceKey is the inverse of SliceKey.
func SplitSliceKey(key string) (service, slice string, ok bool) { return cutKey(key) }

func cutKey(key string) (first, rest string, ok bool) {
	first, rest, ok = strings.Cut(key, "/")
	if !ok || first == "" || rest == "" || strings.Contains(rest, "/") {
		return "", "", false
	}
	return first, rest, true
}
