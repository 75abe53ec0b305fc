package consensus

import (
	"testing"
	"time"
)

func TestAddressesAreLookedUpWhereTheyWereToldLast(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("k", "1")
	f := c.others(l)[0]
	c.stop(f)
	f.address = "127.0.0.1:0"
	c.start(f)
	for _, m := range c.members {
		m.node.SetAddresses(map[string]string{f.id: f.node.cfg.Listener.Addr().String()})
	}
	_, index := c.put("k", "2")
	if err := f.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.leader().node.Members() {
		if want := f.node.cfg.Listener.Addr().String(); m.ID == f.id && m.Address != want {
			t.Errorf("address %s, want %s", m.Address, want)
		}
	}
}
