package consensus

import "sync"

const (
	// maxHandshakes bounds how many callers may be shaking hands at the same time, maxHandshakesOf how many of one host.
	maxHandshakes   = 512
	maxHandshakesOf = 64
)

// handshakes counts who is shaking hands, by host: whoever opens connections and says nothing, without a certificate of
// anyone's, holds up those of his host, and not the members that look for each other in an election.
type handshakes struct {
	mu sync.Mutex
	of map[string]int
}

// begin says whether another caller from that host may shake hands.
func (h *handshakes) begin(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of[host] >= maxHandshakesOf {
		return false
	}
	if h.of == nil {
		h.of = map[string]int{}
	}
	h.of[host]++
	return true
}

// end is called behind each handshake that began.
func (h *handshakes) end(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of[host]--; h.of[host] == 0 {
		delete(h.of, host)
	}
}
