package server

import (
	"pentad.dev/pentad/federation/apiserver"
	"pentad.dev/pentad/process"
)

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
