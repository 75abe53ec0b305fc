// Package route says where a request belongs: its key makes a shard, the ownership map gives the shard's unit and the
// cells that take its writes, and a table of methods tells reads from writes. It is pure, and what is compiled never
// changes, so any number of goroutines may use it.
//
// A value's way:
//
//	key ──Table.Shard──> shard ──Map.Lookup──> unit, active cells, frozen, since
//	     override,                one index,
//	     last digits or modulo    one range
//
// Invariants:
//
//   - A key is decimal, of any length; it is read once, eight digits at a time, and no number is made of it. Leading
//     zeros count as digits, so ids of a fixed width work; 007 and 7 are the same shard, unless an override names one
//     of them.
//   - An override is compared with the key as it is sent, and goes before the function. Its key need not be decimal.
//   - In a header a shard has one spelling only: "7", not "07", "+7", " 7" or "7,7". Two spellings would let a proxy
//     and a guard read different shards from one request (rule 7 of ownership).
//   - A method that no table names is a write (rule 7 of ownership).
//   - A Map holds each shard exactly once; Compile and CompileMap refuse everything else, whole, naming the field.
//
// Chosen against: hashing keys (an operator must be able to tell the shard of a user by looking at the id), math/big
// (forty times slower on the way of every request), an interval tree (at most 16,384 shards: an array of ranges by
// shard is one load), and patterns for methods (two tables that read one pattern differently would be two opinions on
// what is a write).
package route
