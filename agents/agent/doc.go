// Package agent is one cluster's writer: it runs the cluster's sources, gives each a feed of its own
// ("<cluster>/<source>") and reports on them in one more ("<cluster>/reports"), and publishes all of them to the
// nearest server and to each relay of the cluster. DESIGN.md says how it keeps the writers' rules of feeds.
package agent
