package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
)

const (
	// reachPatience is how long a read at a resourceVersion that this replica has not reached waits for it.
	reachPatience = 3 * time.Second
	// bookmarkEvery is how often a quiet watch that allows bookmarks gets one.
	bookmarkEvery = 30 * time.Second
)

// Config is what the Storage of one kind needs.
type Config struct {
	State State
	// Codec writes the stored version and reads it back.
	Codec runtime.Codec
	// NewObject makes an empty object of the kind, for bookmarks.
	NewObject func() runtime.Object
	// Prefix is what every key of the kind begins with.
	Prefix string
	// Transformer seals values before they are stored; nil stores them as they are.
	Transformer value.Transformer
	// BookmarkEvery is how often a quiet watch that allows bookmarks gets one; 0 is 30 s.
	BookmarkEvery time.Duration
	// ReachPatience bounds the wait of a read for a resourceVersion that this replica has not reached; 0 is 3 s.
	ReachPatience time.Duration
}

// Validate refuses a Config with holes.
func (c Config) Validate() error {
	var errs []error
	if c.State == nil {
		errs = append(errs, errors.New("state: must be set"))
	}
	if c.Codec == nil {
		errs = append(errs, errors.New("codec: must be set"))
	}
	if c.NewObject == nil {
		errs = append(errs, errors.New("newObject: must be set"))
	}
	if c.Prefix == "" {
		errs = append(errs, errors.New("prefix: must be set"))
	}
	return errors.Join(errs...)
}

// Storage is the storage.Interface of one kind. It is safe for concurrent use and starts nothing until a watch is
// opened.
type Storage struct {
	state         State
	codec         runtime.Codec
	newObject     func() runtime.Object
	prefix        string
	transformer   value.Transformer
	versioner     storage.APIObjectVersioner
	bookmarkEvery time.Duration
	reachPatience time.Duration
	// planted are faults that tests switch on to see that they are found.
	planted planted
}

type planted struct {
	lateWatch  <-chan struct{} // a watch starts where the state is when this is closed
	staleReads bool            // a consistent read is answered from local state
	sentAnswer bool            // a write is answered with what was sent, not with what was made of it
}

var _ storage.Interface = (*Storage)(nil)

// New makes the Storage of one kind.
func New(cfg Config) (*Storage, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("storage of prefix %q: %w", cfg.Prefix, err)
	}
	s := &Storage{
		state:         cfg.State,
		codec:         cfg.Codec,
		newObject:     cfg.NewObject,
		prefix:        strings.TrimSuffix(cfg.Prefix, "/") + "/",
		transformer:   cfg.Transformer,
		bookmarkEvery: cfg.BookmarkEvery,
		reachPatience: cfg.ReachPatience,
	}
	if s.transformer == nil {
		s.transformer = identity.NewEncryptCheckTransformer()
	}
	if s.bookmarkEvery == 0 {
		s.bookmarkEvery = bookmarkEvery
	}
	if s.reachPatience == 0 {
		s.reachPatience = reachPatience
	}
	return s, nil
}

// Versioner implements storage.Interface.
func (s *Storage) Versioner() storage.Versioner { return s.versioner }

// ReadinessCheck implements storage.Interface: local state can always be read.
func (s *Storage) ReadinessCheck() error { return nil }

// RequestWatchProgress implements storage.Interface; only a watch cache asks for it.
func (s *Storage) RequestWatchProgress(context.Context) error { return nil }

// EnableResourceSizeEstimation implements storage.Interface; Stats counts sizes anyway.
func (s *Storage) EnableResourceSizeEstimation(storage.KeysFunc) error { return nil }

// CompactRevision implements storage.Interface.
func (s *Storage) CompactRevision() int64 { return int64(s.state.Compacted()) }

// Stats implements storage.Interface.
func (s *Storage) Stats(context.Context) (storage.Stats, error) {
	var count, size int64
	s.state.Local().Range(s.prefix, "", func(item Item) bool {
		count++
		size += int64(len(item.Value))
		return true
	})
	stats := storage.Stats{ObjectCount: count}
	if count > 0 {
		stats.EstimatedAverageObjectSizeBytes = size / count
	}
	return stats, nil
}

// GetCurrentResourceVersion implements storage.Interface.
func (s *Storage) GetCurrentResourceVersion(ctx context.Context) (uint64, error) {
	view, err := s.consistent(ctx)
	if err != nil {
		return 0, err
	}
	return view.Revision(), nil
}

// seal encodes an object for storage, as it is compared (plain) and as it is stored (sealed).
func (s *Storage) seal(ctx context.Context, key string, obj runtime.Object) (plain, sealed []byte, err error) {
	if err := s.versioner.PrepareObjectForStorage(obj); err != nil {
		return nil, nil, fmt.Errorf("prepare %s for storage: %w", key, err)
	}
	if plain, err = runtime.Encode(s.codec, obj); err != nil {
		return nil, nil, err
	}
	if sealed, err = s.transformer.TransformToStorage(ctx, plain, value.DefaultContext(key)); err != nil {
		return nil, nil, storage.NewInternalError(err)
	}
	return plain, sealed, nil
}

// open undoes what seal did last. Stale says that the stored form is not the one that seal would write today.
func (s *Storage) open(ctx context.Context, key string, sealed []byte) (plain []byte, stale bool, err error) {
	plain, stale, err = s.transformer.TransformFromStorage(ctx, sealed, value.DefaultContext(key))
	if err != nil {
		return nil, false, storage.NewInternalError(err)
	}
	return plain, stale, nil
}

func (s *Storage) decode(plain []byte, out runtime.Object, revision uint64) error {
	if _, err := conversion.EnforcePtr(out); err != nil {
		return fmt.Errorf("output object: %w", err)
	}
	if _, _, err := s.codec.Decode(plain, nil, out); err != nil {
		return err
	}
	return s.versioner.UpdateObject(out, revision)
}
