// Package model is the contents of the records of a cluster's feeds, and of those of the intent feed that are no
// declared objects (Ownership, StoreOrder): the kinds and their keys, a deterministic encoding, and validation. The
// messages themselves are in modelpb.
//
// A record is encoded once, by the agent that writes its feed (the intent feed's by every server for itself, to the same
// bytes), and every hop passes the same bytes; only who needs
// the contents (catalog, render) decodes them. Validation runs twice: in the agent before a record is committed,
// where a bad input is refused whole, and in Decode at the reader, which never trusts that the writer was of its
// own version. A reader that refuses a record reports it and keeps it all the same (the feed's rules), so a refusal
// never makes two holders of a feed differ.
//
// Invariants:
//   - Encode gives equal bytes for equal messages and never nil, which would be a tombstone;
//   - what Decode returns is valid and belongs to the key that it was found under;
//   - an address has one spelling (that of net/netip), so strings can be compared.
//
// Rejected: validation rules declared in the proto files. Errors must read as those of the API (k8s.io/apimachinery
// field.Error: path, value, what would be right), because the same person reads both.
package model
