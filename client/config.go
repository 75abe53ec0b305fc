package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// defaultTimeout bounds a call with all its repetitions.
const defaultTimeout = 10 * time.Second

// Config says where the API is and who calls.
type Config struct {
	// Endpoints are the servers in order of preference: host:port, or https URLs without a path.
	Endpoints []string
	// TLS has the client certificate and the authorities of the servers.
	TLS *tls.Config
	// REST takes the place of TLS; its Host is the endpoint when there are no Endpoints.
	REST *rest.Config
	// UserAgent names the program in audit logs; empty: client-go's default.
	UserAgent string
	// Timeout bounds each call with all its repetitions, as its context does; 0: 10 s. It does not bound a Watch once it
	// is open.
	Timeout time.Duration
}

// Validate refuses a Config with which nothing could be called.
func (c Config) Validate() error {
	var errs []error
	if (c.TLS == nil) == (c.REST == nil) {
		errs = append(errs, errors.New("tls, rest: exactly one must be set"))
	}
	if len(c.endpoints()) == 0 {
		errs = append(errs, errors.New("endpoints: must name a server"))
	}
	for i, endpoint := range c.endpoints() {
		if _, err := endpointURL(endpoint); err != nil {
			errs = append(errs, fmt.Errorf("endpoints[%d]: %w", i, err))
		}
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %s: must not be negative", c.Timeout))
	}
	return errors.Join(errs...)
}

func (c Config) endpoints() []string {
	if len(c.Endpoints) == 0 && c.REST != nil && c.REST.Host != "" {
		return []string{c.REST.Host}
	}
	return c.Endpoints
}

func endpointURL(endpoint string) (string, error) {
	address := endpoint
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%q: must be host:port or an https URL: %w", endpoint, err)
	}
	if u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("%q: must be host:port or an https URL without a path", endpoint)
	}
	return "https://" + u.Host, nil
}
