package upstream

import "time"

// WaitForWriters makes a relay that knows nothing wait for writers as long as a test takes. Only whoever asks Ready may
// call it.
func (u *Upstream) WaitForWriters() { u.opened = time.Now().Add(time.Hour) }
