package route

import (
	"fmt"
	"strings"
)

// Methods tell reads from writes. Nil knows no reads.
type Methods struct {
	exact    map[string]struct{}
	services map[string]struct{}
}

// MethodError is an entry that names no methods.
type MethodError struct{ Entry string }

func (e *MethodError) Error() string {
	return fmt.Sprintf("reads: %q: must be /package.Service/Method, or /package.Service/* for all methods of a service",
		e.Entry)
}

// CompileMethods takes what reads: /package.Service/Method, or /package.Service/* for all methods of a service. It
// fails with a *MethodError.
func CompileMethods(reads []string) (*Methods, error) {
	m := &Methods{exact: map[string]struct{}{}, services: map[string]struct{}{}}
	for _, entry := range reads {
		service, method, ok := splitPath(entry)
		switch {
		case !ok || strings.ContainsAny(service, "* ") || strings.Contains(entry, "//"):
			return nil, &MethodError{entry}
		case method == "*":
			m.services[service] = struct{}{}
		case strings.Contains(method, "*"):
			return nil, &MethodError{entry}
		default:
			m.exact[entry] = struct{}{}
		}
	}
	return m, nil
}

// Read says whether the gRPC path is declared to change nothing. Everything else is a write. The * of a service stands
// for one segment of a path, and not for a dot, so that no spelling of another path is let in by it.
func (m *Methods) Read(path string) bool {
	if m == nil {
		return false
	}
	if _, ok := m.exact[path]; ok {
		return true
	}
	if len(m.services) == 0 {
		return false
	}
	service, _, ok := splitPath(path)
	if !ok {
		return false
	}
	_, ok = m.services[service]
	return ok
}

// ReadHTTP says the same of an HTTP request: it reads when its path is declared and its method is safe (RFC 9110,
// 9.2.1), or it is a gRPC or gRPC-Web call.
func (m *Methods) ReadHTTP(method, path, contentType string) bool {
	switch method {
	case "GET", "HEAD":
		return m.Read(path)
	case "POST":
		return strings.HasPrefix(contentType, "application/grpc") && m.Read(path)
	}
	return false
}

// splitPath splits /service/method.
func splitPath(path string) (service, method string, ok bool) {
	if len(path) < 2 || path[0] != '/' {
		return "", "", false
	}
	slash := strings.LastIndexByte(path, '/')
	if slash < 2 {
		return "", "", false
	}
	service, method = path[1:slash], path[slash+1:]
	return service, method, method != "" && method != "." && method != ".." && !strings.Contains(service, "/")
}
