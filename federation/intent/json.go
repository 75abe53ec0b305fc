package intent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"pentad.dev/pentad/crds/v1alpha1"
)

// setStatus puts a status into an object's JSON, and leaves every other byte as it is: who proposes an object again as
// it was read proposes the same bytes.
func setStatus(value []byte, status any) []byte {
	encoded, err := json.Marshal(status)
	if err == nil {
		value, err = splice(value, "status", encoded)
	}
	if err != nil {
		panic(fmt.Sprintf("intent: the status of a valid object cannot be written: %v", err))
	}
	return value
}

// splice gives a JSON object another value in a field, as its last one when it had none.
func splice(object []byte, name string, value []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.Join(err, errors.New("not a JSON object"))
	}
	comma := ""
	for ; d.More(); comma = "," {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var old json.RawMessage
		if err := d.Decode(&old); err != nil {
			return nil, err
		}
		if end := int(d.InputOffset()); key == name {
			return bytes.Join([][]byte{object[:end-len(old)], value, object[end:]}, nil), nil
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	end := int(d.InputOffset()) - 1
	member := fmt.Sprintf("%s%q:%s", comma, name, value)
	return bytes.Join([][]byte{object[:end], []byte(member), object[end:]}, nil), nil
}

func shardRange(from, to int) v1alpha1.ShardRange {
	return v1alpha1.ShardRange{From: int32(from), To: int32(to)}
}

// decimal is a number of 64 bits as JSON clients can read it; empty for 0, which is no epoch.
func decimal(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
