package ledger

import (
	"fmt"

	"pentad.dev/pentad/unitization/fence"
)

// order compares the token of an order, and keeps it.
func (c *core) order(token uint64) error {
	if token < c.token && !c.broken.has(brokenOrder) {
		return fmt.Errorf("%w: %d; this member keeps %d", fence.ErrLowerToken, token, c.token)
	}
	c.keep(token)
	return nil
}

// state is what the member says of itself to its agent.
func (c *core) state() fence.State {
	return fence.State{Token: c.token, Position: c.position(), Open: c.ready() && c.open, Primary: c.ready()}
}

// fence closes the member. The position that it has afterwards grows only by orders.
func (c *core) fence(token uint64) error {
	if err := c.order(token); err != nil {
		return err
	}
	c.stepDown("fenced")
	return nil
}

// catchUp says whether the member holds everything up to a position; else the caller has it fetch the rest.
func (c *core) catchUp(token uint64, to fence.Position) (bool, error) {
	if err := c.order(token); err != nil {
		return false, err
	}
	c.stepDown("it is to catch up")
	return c.position().Compare(to) >= 0, nil
}

// promote has the member become primary, closed; it is when ready.
func (c *core) promote(token uint64) error {
	if err := c.order(token); err != nil {
		return err
	}
	if c.role == replica || c.stint != token {
		c.claim(token, false)
	}
	return nil
}

// openAt has the primary take writes under a token: the order Open, and Unfence of one that was closed. A member that
// was promoted and has restarted since claims anew.
func (c *core) openAt(token uint64) error {
	if err := c.order(token); err != nil {
		return err
	}
	switch {
	case c.ready():
		c.stint = token
	case c.role == replica || c.stint != token:
		c.claim(token, true)
	}
	c.open = true
	return nil
}
