package intent

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	m := command.ProtoReflect()
	operation := m.WhichOneof(m.Descriptor().Oneofs().ByName("operation"))
	switch {
	case operation == nil:
		return fmt.Errorf("%w: operation: must be one that this version knows", ErrCommand)
	case !m.Get(operation).Message().IsValid():
		return fmt.Errorf("%w: operation: must not be empty", ErrCommand)
	}
	if err := checkKnown(m); err != nil {
		return fmt.Errorf("%w: %w", ErrCommand, err)
	}
	if err := checkOperation(command); err != nil {
		return fmt.Errorf("%w: %w", ErrCommand, err)
	}
	return nil
}

// checkKnown finds fields that this version does not know, in a message and all messages in it.
func checkKnown(m protoreflect.Message) error {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		return fmt.Errorf("%s: a field that this version does not know: %.64x", m.Descriptor().Name(), []byte(unknown))
	}
	var err error
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for i := 0; i < value.List().Len() && err == nil; i++ {
				err = checkKnown(value.List().Get(i).Message())
			}
		default:
			err = checkKnown(value.Message())
		}
		return err == nil
	})
	return err
}

func unixSeconds(command *intentpb.Command) int64 { return command.GetProposedAtUnixMs() / 1000 }
