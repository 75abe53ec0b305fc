package consensus

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
)

// Folder is what a data folder is and what it belongs to. A folder that is lost comes back, empty, with another ID: that
// is how its node is told from the one that promised something.
type Folder struct {
	// ID is a UUID, made with the folder.
	ID string
	// Cluster is the UUID of the cluster in which the folder is enrolled, empty while it is in none.
	Cluster string
	// Roster says with which folder each founder of the cluster was enrolled, by node; empty values are not known.
	Roster map[string]string
	// Empty says that there is no entry and no snapshot: either Bootstrap or a leader will fill it.
	Empty bool
}

// enrolment is what Enroll makes durable. It stands beside the term and the vote: twice, with checksums.
type enrolment struct {
	Cluster string            `json:"cluster"`
	Roster  map[string]string `json:"roster"`
}

// Keys of the stable store: ours, and two of raft's.
var (
	enrolmentKey   = []byte("Enrolment")
	currentTermKey = []byte("CurrentTerm")
	voteTermKey    = []byte("LastVoteTerm")
)

func (e enrolment) validate() error {
	if err := checkUUID(e.Cluster); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if len(e.Roster) == 0 {
		return errors.New("roster: must not be empty")
	}
	folders := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(e.Roster)) {
		folder := e.Roster[id]
		if id == "" {
			return errors.New("roster: a node has no id")
		}
		if folder == "" {
			continue
		}
		if err := checkUUID(folder); err != nil {
			return fmt.Errorf("roster[%s]: %w", id, err)
		}
		if other, taken := folders[folder]; taken {
			return fmt.Errorf("roster[%s]: folder %s is %s's", id, folder, other)
		}
		folders[folder] = id
	}
	return nil
}

func decodeEnrolment(b []byte) (e enrolment, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return enrolment{}, fmt.Errorf("enrolment: %w", err)
	}
	if d.More() {
		return enrolment{}, errors.New("enrolment: something follows it")
	}
	if err := e.validate(); err != nil {
		return enrolment{}, fmt.Errorf("enrolment: %w", err)
	}
	return e, nil
}

// checkUUID accepts a UUID in its one canonical form only, so that two can be compared as strings.
func checkUUID(s string) error {
	if u, err := uuid.Parse(s); err != nil || u.String() != s {
		return fmt.Errorf("%q is not a UUID in lower case", s)
	}
	return nil
}

func newUUID() (string, error) {
	u, err := uuid.NewRandomFromReader(rand.Reader)
	return u.String(), err
}

// enroll makes an enrolment durable. The same one again changes nothing; another one is refused.
func (f *folder) enroll(id string, e enrolment, p *plants) error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("enroll: %w", err)
	}
	if own, listed := e.Roster[id]; listed && own != "" && own != f.id {
		return fmt.Errorf("enroll: roster[%s]: is folder %s, this one is %s: %w", id, own, f.id, ErrFolder)
	}
	if f.enrolled.Cluster != "" && !p.enrollAnywhere {
		if f.enrolled.Cluster != e.Cluster || !maps.Equal(f.enrolled.Roster, e.Roster) {
			return fmt.Errorf("%w: %s, not %s", ErrEnrolled, f.enrolled.Cluster, e.Cluster)
		}
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if !p.forgetEnrolment {
		if err := f.store.keep(enrolmentKey, b); err != nil {
			return fmt.Errorf("enroll: %w", err)
		}
	}
	f.enrolled = enrolment{Cluster: e.Cluster, Roster: maps.Clone(e.Roster)}
	return nil
}

// loadEnrolment reads what enroll wrote.
func (f *folder) loadEnrolment() error {
	b, err := f.store.Get(enrolmentKey)
	if err != nil || len(b) == 0 {
		return err
	}
	f.enrolled, err = decodeEnrolment(b)
	return err
}

// empty says whether there is neither an entry nor a snapshot.
func (f *folder) empty() (bool, error) {
	last, err := f.log.LastIndex()
	if err != nil || last > 0 {
		return false, err
	}
	found, err := f.snaps.List()
	return len(found) == 0, err
}

// Folder returns what this node's data folder is.
func (n *Node) Folder() Folder {
	n.enrolling.Lock()
	defer n.enrolling.Unlock()
	return n.folder.describe()
}

func (f *folder) describe() Folder {
	empty, err := f.empty()
	return Folder{ID: f.id, Cluster: f.enrolled.Cluster, Roster: maps.Clone(f.enrolled.Roster), Empty: empty && err == nil}
}

// identity is what this node says of itself to others.
func (n *Node) identity() (id, folder, cluster string) {
	n.enrolling.Lock()
	defer n.enrolling.Unlock()
	return n.cfg.ID, n.folder.id, n.folder.enrolled.Cluster
}

// Enroll makes the folder one of that cluster, for life; when it returns, that survives a power cut, and messages of the
// cluster's other members are let in. The roster names the founders and their folders; one that knows another folder
// of this node is refused (ErrFolder). The same enrolment again changes nothing, another one is ErrEnrolled.
func (n *Node) Enroll(cluster string, roster map[string]string) error {
	n.enrolling.Lock()
	defer n.enrolling.Unlock()
	return n.folder.enroll(n.cfg.ID, enrolment{Cluster: cluster, Roster: roster}, &n.cfg.break_)
}

// Bootstrap makes these members, all founders of the roster, the first configuration of the cluster. Every founder may
// call it, with the identical list: it is the log's first entry. ErrBootstrapped says that the log is not empty any
// more, because of an earlier call or because a leader got there first; then nothing is left to do.
func (n *Node) Bootstrap(members []Member) error {
	n.starting.Lock()
	defer n.starting.Unlock()
	c, err := n.founders(members)
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	r := n.raft.Load()
	if r == nil {
		err = raft.BootstrapCluster(n.raftConfig(), n.folder.log, n.folder.store, n.folder.snaps, nil, c)
	} else {
		err = r.BootstrapCluster(c).Error()
	}
	switch {
	case errors.Is(err, raft.ErrCantBootstrap):
		return fmt.Errorf("bootstrap: %w", ErrBootstrapped)
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("bootstrap: %w", ErrStopped)
	case err != nil:
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// founders checks a first configuration. Two nodes with different first entries would be two clusters that take each
// other's messages, so it is the roster or nothing.
func (n *Node) founders(members []Member) (c raft.Configuration, err error) {
	n.enrolling.Lock()
	cluster, roster := n.folder.enrolled.Cluster, n.folder.enrolled.Roster
	n.enrolling.Unlock()
	if cluster == "" {
		return c, ErrNotEnrolled
	}
	if _, self := roster[n.cfg.ID]; !self {
		return c, fmt.Errorf("%q is no founder of cluster %s", n.cfg.ID, cluster)
	}
	if err := checkMembers("members", members); err != nil {
		return c, err
	}
	for _, m := range members {
		if _, ok := roster[m.ID]; !ok {
			return c, fmt.Errorf("members: %q is no founder of cluster %s", m.ID, cluster)
		}
	}
	if len(members) != len(roster) {
		return c, fmt.Errorf("members: %d, the roster has %d", len(members), len(roster))
	}
	return configurationOf(members), nil
}

// configurationOf makes voters of all these, in the order of their ids: it must be the same everywhere.
func configurationOf(members []Member) (c raft.Configuration) {
	for _, m := range slices.SortedFunc(slices.Values(members), func(a, b Member) int { return strings.Compare(a.ID, b.ID) }) {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.Address)})
	}
	return c
}

// bootstrapAlone enrolls and bootstraps a new folder without asking anyone: see Config.BootstrapAlone.
func (n *Node) bootstrapAlone() error {
	roster := map[string]string{}
	for _, m := range n.cfg.Voters {
		roster[m.ID] = ""
	}
	if n.folder.enrolled.Cluster == "" {
		if err := n.Enroll(aloneCluster(n.cfg.Voters), roster); err != nil {
			return err
		}
	}
	if err := n.Bootstrap(n.cfg.Voters); !errors.Is(err, ErrBootstrapped) {
		return err
	}
	return nil
}

// aloneCluster is the cluster id that each of those voters comes to without asking.
func aloneCluster(voters []Member) string {
	var names []string
	for _, m := range voters {
		names = append(names, m.ID)
	}
	slices.Sort(names)
	return uuid.NewHash(sha256.New(), uuid.Nil, []byte(strings.Join(names, "\n")), 8).String()
}

// mendBootstrap takes back a bootstrap that a crash interrupted between its two steps, the term and the first entry.
// Term 1 is that of the first entry; nobody votes or leads in it.
func (f *folder) mendBootstrap() error {
	if empty, err := f.empty(); err != nil || !empty {
		return err
	}
	term, err := f.store.GetUint64(currentTermKey)
	if err != nil || term != 1 {
		return err
	}
	if vote, err := f.store.GetUint64(voteTermKey); err != nil || vote != 0 {
		return err
	}
	return f.store.SetUint64(currentTermKey, 0)
}
