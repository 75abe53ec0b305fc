package controller

import (
	"context"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/unitization/switchover"
)

// ask keeps what the servers hear of sessions up to date: often while a switchover waits for it.
func (t *tenure) ask(ctx context.Context) {
	var last time.Time
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		t.mu.Lock()
		hurry := t.hurry
		t.mu.Unlock()
		if hurry || t.cfg.now().Sub(last) >= askAtRest {
			last = t.cfg.now()
			sessions := map[string]progress{}
			for _, p := range t.cfg.Progress(ctx) {
				heard := progress{age: time.Duration(p.GetAgeMs()) * time.Millisecond, rendered: p.GetRendered()}
				if known, ok := sessions[p.GetSession()]; !ok || heard.age < known.age {
					sessions[p.GetSession()] = heard
				}
			}
			t.mu.Lock()
			t.sessions, t.asked = sessions, last
			t.mu.Unlock()
			t.tell()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// listen reads what agents report.
func (t *tenure) listen(ctx context.Context) {
	watch := t.cfg.Feeds.Watch()
	defer watch.Close()
	cursors := map[feed.ID]*feed.Cursor{}
	for {
		for _, id := range watch.Changed() {
			if _, source, ok := model.SplitFeedID(id); !ok || source != model.ReportsSource {
				continue
			}
			cursor := cursors[id]
			if cursor == nil {
				log, ok := t.cfg.Feeds.Get(id)
				if !ok {
					continue
				}
				cursor = log.Cursor(feed.Position{})
				defer cursor.Close()
				cursors[id] = cursor
			}
			for batch, ok := cursor.Next(); ok; batch, ok = cursor.Next() {
				t.take(id, batch)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-watch.C():
		}
	}
}

// take notes a batch of reports.
func (t *tenure) take(id feed.ID, batch feed.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.tell()
	if t.reports == nil {
		t.reports = map[feed.ID]map[string]report{}
	}
	if t.reports[id] == nil || batch.Reset {
		t.reports[id] = map[string]report{}
	}
	cluster, _, _ := model.SplitFeedID(id)
	for _, record := range batch.Records {
		if record.Kind != model.KindStoreReport {
			continue
		}
		delete(t.reports[id], record.Key)
		if record.Value == nil {
			continue
		}
		said, err := model.DecodeStoreReport(record.Key, record.Value)
		if err != nil {
			t.log.Warn("a report of a store cannot be used", "feed", id, "key", record.Key, "error", err)
			continue
		}
		t.reports[id][record.Key] = report{
			store: said.GetStore(), member: said.GetMember(), uid: said.GetSwitchoverUid(), cluster: cluster,
			Report: switchover.Report{
				Step: int(said.GetStep()), Token: said.GetToken(),
				Position: switchover.Position{Epoch: said.GetPosition().GetEpoch(), Index: said.GetPosition().GetIndex()},
				Primary:  said.GetPrimary(), Before: said.GetBefore(),
			},
		}
	}
}
