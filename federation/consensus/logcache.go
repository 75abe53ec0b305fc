package consensus

import "github.com/hashicorp/raft"

// cachedLog keeps the newest entries in memory and, unlike raft's cache alone, says why a write was refused.
type cachedLog struct {
	*raft.LogCache
	store *logStore
}

// cacheEntries is how many of the newest entries stay in memory for followers that are a little behind.
const cacheEntries = 1024

func newCachedLog(s *logStore) cachedLog {
	c, err := raft.NewLogCache(cacheEntries, s)
	if err != nil {
		panic(err) // only for a capacity below 1
	}
	return cachedLog{LogCache: c, store: s}
}

// StoreLogs implements raft.LogStore.
func (c cachedLog) StoreLogs(entries []*raft.Log) error {
	if err := c.LogCache.StoreLogs(entries); err != nil {
		if c.store.refuse != nil {
			return c.store.refuse
		}
		return err
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (c cachedLog) StoreLog(entry *raft.Log) error { return c.StoreLogs([]*raft.Log{entry}) }
