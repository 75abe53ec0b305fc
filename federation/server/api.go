package server

import (
	"crypto/x509"
	"os"

	"pentad.dev/pentad/federation/apiserver"
	"pentad.dev/pentad/process"
)

// checkAPIClientCA refuses a file that is none of authorities before anything is made.
func (c *Config) checkAPIClientCA() error {
	content, err := os.ReadFile(c.APIClientCA)
	if err != nil {
		return process.Usagef("apiClientCA: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(content) {
		return process.Usagef("apiClientCA: %s holds no certificate in PEM", c.APIClientCA)
	}
	return nil
}

// openAPI makes the API server. Its audit log is kept beside the server's data.
func (s *Server) openAPI(b *backend) (err error) {
	if s.audit, err = s.config.Audit.open(s.config.DataDir); err != nil {
		return err
	}
	s.api, err = apiserver.New(apiserver.Config{
		Name: s.config.Name, Listener: s.listeners["api"], Backend: b, Permits: s.config.permits(), Ready: s.ready,
		Certificates: apiserver.CertificateFiles(s.config.Certificates.Cert, s.config.Certificates.Key, s.config.APIClientCA),
		Pages:        s.pages(), Streams: []string{backupPath},
		Audit: s.audit, Version: process.Version(), Logger: s.log,
	})
	return err
}
