package drill

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/dev/sample/samplepb"
	"pentad.dev/pentad/unitization/guard"
)

// staleIn bounds a write of somebody who has heard of nothing.
const staleIn = 15 * time.Second

// staleClients send writes, with the right stamp, straight to the cells and primaries that are no longer the owners', as a
// client does whose routes are old: each must be refused, and a guard must name the right cell.
func (d *Drill) staleClients(ctx context.Context) error {
	list, err := d.client.Unitizations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	sent, refused, named, detail := 0, 0, 0, ""
	for i := range list.Items {
		u := &list.Items[i]
		if u.Spec.Shards == 1 {
			continue
		}
		for _, r := range u.Status.Ranges {
			for _, cell := range strangers(u, r) {
				in, ok := d.instanceOf(cell)
				if !ok {
					continue
				}
				sent++
				err := d.placeOrder(ctx, in, u, r.From)
				refusal, isRefusal := guard.RefusalOf(err)
				switch {
				case err == nil:
					detail = fmt.Sprintf("; cell %s took a write for shard %d", cell, r.From)
				case isRefusal:
					refused++
					if refusal.Cell != "" {
						named++
					}
				default:
					detail = fmt.Sprintf("; cell %s: %v", cell, err)
				}
			}
		}
	}
	d.book.expect("cells that do not own a shard refuse its writes", sent > 0 && refused == sent,
		fmt.Sprintf("%d of %d refused, %d with the right cell%s", refused, sent, named, detail))
	return d.staleStores(ctx)
}

// strangers are the active cells at the baseline of a range's owner that are not active now.
func strangers(u *v1alpha1.Unitization, r v1alpha1.OwnedRange) (cells []string) {
	active := map[string]bool{}
	for _, c := range r.Cells {
		active[c] = true
	}
	for _, unit := range u.Spec.Units {
		for _, c := range unit.Cells {
			if name := unit.Name + "." + c.Center; unit.Name == r.Unit && !active[name] {
				cells = append(cells, name)
			}
		}
	}
	return cells
}

func (d *Drill) instanceOf(cell string) (sample.Instance, bool) {
	for _, p := range d.fullPlaces() {
		instances, err := d.site.Instances(p.Center)
		if err != nil {
			continue
		}
		for _, in := range instances {
			if in.Cell == cell {
				return in, true
			}
		}
	}
	return sample.Instance{}, false
}

func (d *Drill) placeOrder(ctx context.Context, in sample.Instance, u *v1alpha1.Unitization, shard int32) error {
	conn, err := grpc.NewClient("passthrough:///"+in.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, staleIn)
	defer cancel()
	user := strconv.Itoa(int(1000*u.Spec.Shards + shard))
	ctx = metadata.AppendToOutgoingContext(ctx, u.Spec.Key.Header, user, guard.HeaderShard, strconv.Itoa(int(shard)))
	_, err = samplepb.NewOrdersClient(conn).PlaceOrder(ctx, &samplepb.PlaceOrderRequest{
		User: user, Item: "stale", Write: fmt.Sprintf("stale-%s-%d", in.Name, record.Now()),
	})
	return err
}

// staleStores write straight to the members that are not the primary.
func (d *Drill) staleStores(ctx context.Context) error {
	stores, err := d.client.Stores().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	sent, took := 0, ""
	for _, store := range stores.Items {
		for _, p := range d.fullPlaces() {
			config, err := d.site.Sample(p.Center)
			if err != nil {
				return err
			}
			for _, l := range config.Ledgers {
				if l.Store != store.Name || p.Center == store.Status.Primary {
					continue
				}
				sent++
				if d.append(ctx, l, p.Center) == nil {
					took += fmt.Sprintf("; member %s of %s took a write", p.Center, l.Store)
				}
			}
		}
	}
	d.book.expect("members of stores that are not the primary refuse writes", sent > 0 && took == "",
		fmt.Sprintf("%d sent%s", sent, took))
	return nil
}

func (d *Drill) append(ctx context.Context, l sample.Ledger, member string) error {
	c, err := ledger.NewClient(ledger.ClientConfig{Store: l.Store, Members: []ledger.Peer{{Member: member, Address: l.GRPC}}})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, staleIn)
	defer cancel()
	_, err = c.Append(ctx, &ledgerpb.Write{Id: fmt.Sprintf("stale-%s-%s-%d", l.Store, member, record.Now())})
	return err
}
