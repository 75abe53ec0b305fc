package ledger

import "math/rand/v2"

// simDisk keeps what was synced, and of the rest as much as chance leaves.
type simDisk struct {
	records [][]byte
	synced  int
	token   uint64
}

func (d *simDisk) append(records [][]byte) error {
	d.records = append(d.records, records...)
	return nil
}
func (d *simDisk) truncate(n int) error    { d.records, d.synced = d.records[:n:n], n; return nil }
func (d *simDisk) sync() error             { d.synced = len(d.records); return nil }
func (d *simDisk) keep(token uint64) error { d.token = token; return nil }
func (d *simDisk) note(Event) error        { return nil }
func (d *simDisk) close() error            { return nil }

func (d *simDisk) crash(r *rand.Rand) {
	left := d.synced + r.IntN(len(d.records)-d.synced+1)
	d.records, d.synced = d.records[:left:left], left
}
