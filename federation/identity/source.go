package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// reloadEvery is how often the files are looked at. Certificates live for hours; seconds are soon enough.
const reloadEvery = 5 * time.Second

// Files are PEM files: an X509-SVID with its chain, its key, and the authorities of the trust domain.
type Files struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
	CA   string `json:"ca"`
}

// Validate refuses files that are not named.
func (f Files) Validate(field string) error {
	var errs []error
	for _, file := range []struct{ name, path string }{{"cert", f.Cert}, {"key", f.Key}, {"ca", f.CA}} {
		if file.path == "" {
			errs = append(errs, fmt.Errorf("%s.%s: must name a PEM file", field, file.name))
		}
	}
	return errors.Join(errs...)
}

// Source is the identity of this process, always as fresh as its files. It is safe for concurrent use.
type Source struct {
	files   Files
	current atomic.Pointer[material]
}

type material struct {
	svid   *x509svid.SVID
	bundle *x509bundle.Bundle
	id     ID
	times  [3]time.Time
}

// Load reads the files once; call Run to follow their changes.
func Load(files Files) (*Source, error) {
	m, err := read(files)
	if err != nil {
		return nil, err
	}
	s := &Source{files: files}
	s.current.Store(m)
	return s, nil
}

func read(files Files) (*material, error) {
	times, err := modified(files)
	if err != nil {
		return nil, err
	}
	svid, err := x509svid.Load(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", files.Cert, files.Key, err)
	}
	id, err := Parse(svid.ID)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", files.Cert, err)
	}
	bundle, err := x509bundle.Load(svid.ID.TrustDomain(), files.CA)
	if err != nil {
		return nil, fmt.Errorf("authorities %s: %w", files.CA, err)
	}
	return &material{svid: svid, bundle: bundle, id: id, times: times}, nil
}

func modified(files Files) (times [3]time.Time, err error) {
	for i, path := range []string{files.Cert, files.Key, files.CA} {
		info, err := os.Stat(path)
		if err != nil {
			return times, err
		}
		times[i] = info.ModTime()
	}
	return times, nil
}

// Run reads the files again whenever they change, until ctx ends. A half-written or wrong set keeps the last good one in
// force and is logged.
func (s *Source) Run(ctx context.Context, log *slog.Logger) error {
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			changed, err := s.reload()
			switch {
			case err != nil:
				log.Warn("rotated certificate not taken, the last good one stays", "error", err)
			case changed:
				log.Info("certificate rotated", "id", s.ID().String(), "expires", s.Expires())
			}
		}
	}
}

func (s *Source) reload() (bool, error) {
	times, err := modified(s.files)
	if err != nil || times == s.current.Load().times {
		return false, err
	}
	m, err := read(s.files)
	if err != nil {
		return false, err
	}
	if was := s.current.Load().id; m.id != was {
		return false, fmt.Errorf("certificate %s is for %s, this process is %s", s.files.Cert, m.id, was)
	}
	s.current.Store(m)
	return true, nil
}

// ID is who this process is. It never changes.
func (s *Source) ID() ID { return s.current.Load().id }

// Expires is when the certificate ends that is in force.
func (s *Source) Expires() time.Time { return s.current.Load().svid.Certificates[0].NotAfter }

// InForce says what is wrong with the certificate at a time of day: nobody takes one that has ended, or not begun.
func (s *Source) InForce(now time.Time) error {
	if c := s.current.Load().svid.Certificates[0]; now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("certificate %s is good from %s to %s, and this machine's clock says %s: renew it, or set the clock",
			s.files.Cert, c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// Trusted says whether its own authorities vouch for the certificate: others of the trust domain have the same ones, and
// would refuse it.
func (s *Source) Trusted(now time.Time) error {
	m := s.current.Load()
	if _, _, err := x509svid.Verify(m.svid.Certificates, m.bundle, x509svid.WithTime(now)); err != nil {
		return fmt.Errorf("certificate %s is vouched for by no authority in %s: others would refuse it: %w", s.files.Cert, s.files.CA, err)
	}
	return nil
}

// GetX509SVID implements x509svid.Source.
func (s *Source) GetX509SVID() (*x509svid.SVID, error) { return s.current.Load().svid, nil }

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (s *Source) GetX509BundleForTrustDomain(domain spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	return s.current.Load().bundle.GetX509BundleForTrustDomain(domain)
}

// Server is the TLS configuration of a listener that takes callers of these roles only, of this trust domain.
func (s *Source) Server(roles ...Role) *tls.Config {
	return tlsconfig.MTLSServerConfig(s, s, s.authorize(roles))
}

// Client is the TLS configuration of a dialer that goes to these roles only, of this trust domain.
func (s *Source) Client(roles ...Role) *tls.Config {
	return tlsconfig.MTLSClientConfig(s, s, s.authorize(roles))
}

func (s *Source) authorize(roles []Role) tlsconfig.Authorizer {
	return tlsconfig.AdaptMatcher(func(spiffe spiffeid.ID) error {
		id, err := Parse(spiffe)
		if err != nil {
			return err
		}
		if want := s.ID().TrustDomain; id.TrustDomain != want {
			return fmt.Errorf("identity %s: trust domain is not %q", spiffe, want)
		}
		for _, role := range roles {
			if id.Role == role {
				return nil
			}
		}
		return fmt.Errorf("identity %s: role %q is not accepted here, only %v", spiffe, id.Role, roles)
	})
}
