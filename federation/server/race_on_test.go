//go:build race

package server

// raceDetector says that everything takes several times as long.
const raceDetector = true
