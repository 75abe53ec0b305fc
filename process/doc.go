// Package process is what every long-running process of Pentad shares with its surroundings: its configuration file, its
// listeners, its data folder and its admin page. It knows nothing of what the process does.
package process
