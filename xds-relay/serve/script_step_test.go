package serve

import (
	"fmt"
	"slices"
	"strings"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"pentad.dev/pentad/federation/feed"
)

// step runs one line and returns what it made the streams send.
func (s *script) step(line string) ([]string, error) {
	s.out = nil
	words := strings.Fields(line)
	at := ""
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "@") }); i >= 0 {
		at = words[i][1:]
		words = slices.Delete(words, i, i+1)
	}
	switch verb, rest := words[0], words[1:]; verb {
	case "commit", "begin":
		if err := s.commit(s.relay(at), verb == "begin", rest); err != nil {
			return nil, err
		}
	case "after":
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			return nil, err
		}
		s.now = s.now.Add(d)
	case "quiet", "answer":
		s.quiet = verb == "quiet"
	default:
		if err := s.client(verb, at, rest); err != nil {
			return nil, err
		}
	}
	s.look()
	return s.out, nil
}

func (s *script) commit(r *scriptRelay, begin bool, words []string) error {
	var changes []feed.Change
	for _, w := range words {
		name, gone := strings.CutPrefix(w, "-")
		short, rest, _ := strings.Cut(name, "/")
		key, content, ok := strings.Cut(rest, "=")
		if shortTypes[short] == "" || ok == gone {
			return fmt.Errorf("commit: %q is not TYPE/name=content or -TYPE/name", w)
		}
		c := feed.Change{Kind: shortTypes[short], Key: key}
		if !gone {
			c.Value = []byte(content)
		}
		changes = append(changes, c)
	}
	var err error
	if begin {
		_, err = r.log.Begin(r.log.Position().Incarnation+1<<20, changes)
	} else {
		_, err = r.log.Commit(changes...)
	}
	s.pump(r)
	return err
}

func (s *script) client(name, at string, words []string) error {
	switch words[0] {
	case "open":
		s.open(name, at)
		return nil
	case "close":
		s.clients[name].core.close()
		s.clients[name].core = nil
		return nil
	}
	c := s.clients[name]
	if c == nil {
		c = s.open(name, at)
	}
	if c.core == nil {
		return fmt.Errorf("%s has no stream", name)
	}
	req := &discovery.DiscoveryRequest{TypeUrl: shortTypes[words[0]]}
	if words[0] == "ack" || words[0] == "nack" {
		req.TypeUrl = shortTypes[words[1]]
		if len(c.unanswered[req.TypeUrl]) == 0 {
			return fmt.Errorf("%s has no unanswered %s", name, words[1])
		}
		r := c.unanswered[req.TypeUrl][0]
		c.unanswered[req.TypeUrl] = c.unanswered[req.TypeUrl][1:]
		c.nonces[req.TypeUrl] = r.nonce
		req.ResourceNames, req.ResponseNonce = c.names[req.TypeUrl], r.nonce
		if words[0] == "nack" {
			req.ErrorDetail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: strings.Join(words[2:], " ")}
		} else {
			c.versions[req.TypeUrl] = r.version
		}
		req.VersionInfo = c.versions[req.TypeUrl]
	} else {
		req.VersionInfo, req.ResponseNonce = c.versions[req.TypeUrl], c.nonces[req.TypeUrl]
		for _, w := range words[1:] {
			if v, ok := strings.CutPrefix(w, "version="); ok {
				req.VersionInfo = v
			} else if n, ok := strings.CutPrefix(w, "nonce="); ok {
				req.ResponseNonce = n
			} else {
				req.ResourceNames = append(req.ResourceNames, w)
			}
		}
		c.names[req.TypeUrl] = req.ResourceNames
	}
	if _, err := c.core.request(req, s.now); err != nil {
		s.end(name, c)
	}
	return nil
}
