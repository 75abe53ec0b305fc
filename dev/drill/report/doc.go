// Package report turns what a drill recorded into what people read: a text for the terminal, JSON for programs, and one
// HTML page without external parts, with the timeline as a picture.
package report
