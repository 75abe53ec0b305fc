// Package backup is the form of a backup file: a header that says what it is of, a content that only its writer and the
// reader behind it understand, and a checksum over all. It is written and read as a stream, in one pass.
//
// A file is the line "pentad backup 1", the header (a uvarint length, and JSON), pieces of the content (a uvarint length,
// never 0, and bytes), a 0, and the SHA-256 of all that. What is cut short ends before the checksum, what is altered does
// not have it; a reader says so where the content would end, so that nobody takes a part for the whole.
//
// Rejected: a compressed file (whoever stores it can compress it, and a checksum of what is inside must come first);
// the content's length in front (a server would have to hold the content before it sends the first byte).
package backup
