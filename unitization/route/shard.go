package route

import (
	"fmt"
	"strconv"
)

// ParseShard reads a shard as headers carry it: the one canonical decimal spelling of 0 to shards-1. It fails with a
// *ShardError.
func ParseShard(text string, shards int) (int, error) {
	value := 0
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 || i > 4 {
			return 0, &ShardError{text, shards}
		}
		value = value*10 + int(digit)
	}
	if text == "" || value >= shards || text[0] == '0' && len(text) > 1 {
		return 0, &ShardError{text, shards}
	}
	return value, nil
}

// FormatShard is the canonical spelling.
func FormatShard(shard int) string { return strconv.Itoa(shard) }

// ShardError is a text that is not a shard's canonical spelling.
type ShardError struct {
	Text   string
	Shards int
}

func (e *ShardError) Error() string {
	return fmt.Sprintf("shard %.40q: must be one decimal number of 0 to %d, without sign, spaces or leading zeros",
		e.Text, e.Shards-1)
}
