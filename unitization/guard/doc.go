// Package guard stands before a workload and refuses writes that its cell may not take now, and before a caller and
// carries its calls to the cell that does. See DESIGN.md.
package guard
