package server

import (
	"fmt"
	"os"
	"path/filepath"

	"pentad.dev/pentad/federation/apiserver"
	"pentad.dev/pentad/process"
)

// openAPI makes the API server. Its audit log is kept beside the server's data.
func (s *Server) openAPI(b *backend) (err error) {
	audit := filepath.Join(s.config.DataDir, "audit.log")
	if s.audit, err = os.OpenFile(audit, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	s.api, err = apiserver.New(apiserver.Config{
		Name: s.config.Name, Listener: s.listeners["api"], Backend: b, Permits: s.config.permits(), Ready: s.ready,
		Certificates: apiserver.CertificateFiles(s.config.Certificates.Cert, s.config.Certificates.Key, s.config.APIClientCA),
		Pages:        s.pages(), Streams: []string{backupPath},
		Audit: s.audit, Version: process.Version(), Logger: s.log,
	})
	return err
}
