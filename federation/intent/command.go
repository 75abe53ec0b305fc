package intent

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// IDSize is the length of a command's id in bytes.
	IDSize = 16
	// MaxValue bounds an object's JSON in bytes.
	MaxValue = 1 << 20
	// MaxName bounds an object's name in bytes. What a name may look like is the kind's own rule.
	MaxName = 1 << 10
)

// ErrCommand says that bytes are not a command that this version knows completely.
var ErrCommand = errors.New("malformed command")

// Encode encodes a command for the log, the same command always to the same bytes. It refuses with ErrCommand what
// Decode would refuse.
func Encode(command *intentpb.Command) ([]byte, error) {
	if err := checkCommand(command); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(command)
}

// Decode is the reverse of Encode. A field that this version does not know is an error, ErrCommand like all others.
func Decode(encoded []byte) (*intentpb.Command, error) {
	command := &intentpb.Command{}
	if err := proto.Unmarshal(encoded, command); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if err := checkCommand(command); err != nil {
		return nil, err
	}
	return command, nil
}

func checkCommand(command *intentpb.Command) error {
	switch {
	case len(command.GetId()) != IDSize:
		return fmt.Errorf("%w: id %x: must be %d bytes", ErrCommand, command.GetId(), IDSize)
	case bytes.Equal(command.GetId(), make([]byte, IDSize)):
		return fmt.Errorf("%w: id %x: must be random", ErrCommand, command.GetId())
	case unixSeconds(command) < 1 || unixSeconds(command) > maxIncarnation:
		return fmt.Errorf("%w: proposed_at_unix_ms %d: must be a time from 1970 to 2106",
			ErrCommand, command.GetProposedAtUnixMs())
	}
	var operation proto.Message
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Create:
		operation = o.Create
	case *intentpb.Command_Update:
		operation = o.Update
	case *intentpb.Command_Delete:
		operation = o.Delete
	default:
		return fmt.Errorf("%w: operation: must be create, update or delete", ErrCommand)
	}
	if !operation.ProtoReflect().IsValid() {
		return fmt.Errorf("%w: operation: must not be empty", ErrCommand)
	}
	if err := checkKnown(command, operation); err != nil {
		return fmt.Errorf("%w: %w", ErrCommand, err)
	}
	return checkOperation(command)
}

// checkKnown finds fields that this version does not know.
func checkKnown(messages ...proto.Message) error {
	for _, message := range messages {
		m := message.ProtoReflect()
		if unknown := m.GetUnknown(); len(unknown) > 0 {
			return fmt.Errorf("%s: a field that this version does not know: %.64x", m.Descriptor().Name(), []byte(unknown))
		}
	}
	return nil
}

func checkOperation(command *intentpb.Command) error {
	kind, name := subject(command)
	switch {
	case kind == "":
		return fmt.Errorf("%w: kind: must be set", ErrCommand)
	case name == "" || len(name) > MaxName:
		return fmt.Errorf("%w: name %.64q: must have 1 to %d bytes", ErrCommand, name, MaxName)
	}
	var value []byte
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Create:
		value = o.Create.GetValue()
	case *intentpb.Command_Update:
		value = o.Update.GetValue()
		if o.Update.GetExpectRevision() == 0 {
			return fmt.Errorf("%w: expect_revision 0: must be the revision of the object that is replaced", ErrCommand)
		}
	case *intentpb.Command_Delete:
		if o.Delete.GetExpectRevision() == 0 {
			return fmt.Errorf("%w: expect_revision 0: must be the revision of the object that is deleted", ErrCommand)
		}
		return nil
	}
	if len(value) == 0 || len(value) > MaxValue {
		return fmt.Errorf("%w: value of %d bytes: must have 1 to %d", ErrCommand, len(value), MaxValue)
	}
	return nil
}

// subject is the kind and the name that a command is about.
func subject(command *intentpb.Command) (kind, name string) {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Create:
		return o.Create.GetKind(), o.Create.GetName()
	case *intentpb.Command_Update:
		return o.Update.GetKind(), o.Update.GetName()
	case *intentpb.Command_Delete:
		return o.Delete.GetKind(), o.Delete.GetName()
	}
	return "", ""
}

func unixSeconds(command *intentpb.Command) int64 { return command.GetProposedAtUnixMs() / 1000 }
