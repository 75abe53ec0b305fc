package process

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// UsageError is a mistake of whoever started the process: a wrong flag, file or folder. Nothing was started or changed;
// the command exits with status 2.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef is a UsageError with a message.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// Validator is a configuration that can refuse itself, naming the field and the value.
type Validator interface{ Validate() error }

// LoadConfig reads a YAML or JSON file strictly into config: an unknown or repeated field is refused, and one in the
// wrong case. Every error is a
// UsageError.
func LoadConfig(path string, config Validator) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return &UsageError{err}
	}
	return ParseConfig(path, data, config)
}

// ParseConfig is LoadConfig of a file that is already read; path is for messages.
func ParseConfig(path string, data []byte, config Validator) error {
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return Usagef("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	strict, err := json.UnmarshalStrict(text, config)
	var typed *stdjson.UnmarshalTypeError
	if errors.As(err, &typed) && typed.Field != "" {
		err = fmt.Errorf("%s: must be %s, and is given as %s", typed.Field, wants(typed.Type.Kind()), typed.Value)
	} else if at := blame(text, config, err); at != "" {
		err = fmt.Errorf("%s: %w", at, err)
	}
	if err := errors.Join(append(strict, err)...); err != nil {
		return Usagef("%s: %w", path, err)
	}
	if err := config.Validate(); err != nil {
		return Usagef("%s: %w", path, err)
	}
	return nil
}

// Required refuses an empty field.
func Required(field, value string) error {
	if value == "" {
		return fmt.Errorf("%s: must not be empty", field)
	}
	return nil
}

// Address refuses what is not host:port.
func Address(field, value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("%s: %q is not host:port", field, value)
	}
	return nil
}
