package server

import (
	"io"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/intent"
)

// Inspection is what a backup holds, of which everything was read.
type Inspection struct {
	backup.Header
	// Objects are how many there are of each kind that has any.
	Objects map[string]int
	// Servers were of the estate, Voters of these by the wish of operators.
	Servers, Voters int
	// Tokens could still be used when the backup was taken; none of them can be after a restore.
	Tokens int
	// Epoch is the highest of the ownership of shards, Shards how many ranges of them somebody owns, and Running how many
	// switchovers were under way.
	Epoch   uint64
	Shards  int
	Running int
}

// Inspect reads a backup to its end as a restore would, and says what is in it. What a restore would refuse is a
// UsageError here as well; only what the machine of the restore adds, its clock and its folder, is not judged.
func Inspect(file io.Reader) (Inspection, error) {
	f, header, err := readBackup(file)
	if err != nil {
		return Inspection{}, err
	}
	return inspect(f, header), nil
}

func inspect(f *intent.FSM, header backup.Header) Inspection {
	in := Inspection{Header: header, Objects: map[string]int{}}
	view := f.View()
	for _, kind := range v1alpha1.Kinds() {
		view.Range(kind, "", func(*intent.Object) bool { in.Objects[kind]++; return true })
	}
	for _, server := range f.Servers() {
		in.Servers++
		if server.GetVoter() {
			in.Voters++
		}
	}
	for _, token := range f.Tokens() {
		if token.GetServer() == "" && !token.GetRevoked() && time.UnixMilli(token.GetExpiresAtUnixMs()).After(header.Taken) {
			in.Tokens++
		}
	}
	state := view.Ownership()
	in.Epoch = state.Epoch
	for _, m := range state.Maps {
		in.Shards += len(m.Ranges)
	}
	for _, s := range state.Switchovers {
		if s.Phase.Running() {
			in.Running++
		}
	}
	return in
}
