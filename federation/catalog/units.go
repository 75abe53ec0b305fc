package catalog

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
)

// Units is how a service is bound to units. It is immutable and shared, as the Service is.
type Units struct {
	// Unitization is the one that binds the service.
	Unitization string
	// Type is the binding's: Sharded or Global.
	Type v1alpha1.UnitType
	// Reads are the methods that change nothing, as declared: /package.Service/Method or /package.Service/*.
	Reads []string
	// Shards is how many there are; with 1 callers name none.
	Shards int
	// Header is the metadata key with the sharding key; empty when there is none.
	Header string
	// Epoch is that of the map's last change; 0 when the service refuses.
	Epoch uint64
	// Ranges are the ownership map: sorted, disjoint, every shard once. Empty when the service refuses.
	Ranges []Range
	// Wanted are the cells that a switchover is about to enter, by name, sorted.
	Wanted []string
	// Cells are the candidates: every cell of every unit, by name.
	Cells []*Cell
	// Refused says why nobody may be routed anywhere: the records do not tell who owns the shards. Empty: they do.
	Refused string
}

// Range is a range of shards with its owner.
type Range struct {
	// From and To are the first and the last shard.
	From, To int
	Unit     string
	// Cells are those that take writes, by name, sorted. Without any, nobody does.
	Cells []string
	// Frozen ranges take reads only.
	Frozen bool
	// Since is the epoch of the range's last change of owner, cells or state.
	Since uint64
}

// Cell is a unit's deployment in one center, as far as it serves one service.
type Cell struct {
	// Name is <unit>.<center>.
	Name, Unit string
	Type       v1alpha1.UnitType
	// Region is empty while the center has no Center object.
	Center, Region string
	// Clusters are those that the cell runs in, by name, with the endpoints of the cell's unit: slices that name it or no
	// unit.
	Clusters []ClusterEndpoints
}

// Since is the highest epoch that the ranges carry: what is rendered of the service is at least that new. 0: none.
func (u *Units) Since() uint64 {
	var highest uint64
	if u != nil {
		for _, r := range u.Ranges {
			highest = max(highest, r.Since)
		}
	}
	return highest
}

// Cell returns a candidate by its name, nil for what is none.
func (u *Units) Cell(name string) *Cell {
	at := slices.IndexFunc(u.Cells, func(c *Cell) bool { return c.Name == name })
	if at < 0 {
		return nil
	}
	return u.Cells[at]
}

// Alike says that two bindings differ in nothing but the cells' endpoints and what is wanted.
func (u *Units) Alike(o *Units) bool {
	if u == nil || o == nil || u == o {
		return u == o
	}
	return u.Unitization == o.Unitization && u.Type == o.Type && u.Shards == o.Shards && u.Header == o.Header &&
		u.Epoch == o.Epoch && u.Refused == o.Refused && slices.Equal(u.Reads, o.Reads) &&
		slices.EqualFunc(u.Ranges, o.Ranges, Range.equal) && slices.EqualFunc(u.Cells, o.Cells, (*Cell).samePlace)
}

func (u *Units) equal(o *Units) bool {
	if u == nil || o == nil || u == o {
		return u == o
	}
	return u.Alike(o) && slices.Equal(u.Wanted, o.Wanted) && slices.EqualFunc(u.Cells, o.Cells, (*Cell).equal)
}

func (r Range) equal(o Range) bool {
	return r.From == o.From && r.To == o.To && r.Unit == o.Unit && r.Frozen == o.Frozen && r.Since == o.Since &&
		slices.Equal(r.Cells, o.Cells)
}

func (c *Cell) samePlace(o *Cell) bool {
	return c == o || c.Name == o.Name && c.Unit == o.Unit && c.Type == o.Type && c.Center == o.Center &&
		c.Region == o.Region
}

func (c *Cell) equal(o *Cell) bool {
	return c == o || c.samePlace(o) &&
		slices.EqualFunc(c.Clusters, o.Clusters, func(a, b ClusterEndpoints) bool { return a.equal(&b) })
}

// Rules are what clients and guards must know of one Unitization: which key is which shard, and which methods of which
// services change nothing.
type Rules struct {
	Unitization string
	// Spec is immutable and shared.
	Spec *v1alpha1.UnitizationSpec
	// Services are those that no other Unitization binds, too.
	Services []v1alpha1.ServiceBinding
}

// declaredCluster is what the catalog reads of a Cluster object.
type declaredCluster struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              v1alpha1.ClusterSpec `json:"spec"`
}
